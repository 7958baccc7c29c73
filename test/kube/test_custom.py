# SPDX-License-Identifier: Apache-2.0
"""Custom resources: served as soon as their definition is there, checked by its schema."""
import uuid

import pytest

from conftest import wait_established, wait_for


def definition(group):
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": True, "storage": True,
                "subresources": {"status": {},
                                 "scale": {"specReplicasPath": ".spec.replicas",
                                           "statusReplicasPath": ".status.replicas"}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["size"], "properties": {
                        "size": {"type": "integer", "minimum": 1},
                        "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
                        "replicas": {"type": "integer"}},
                        "x-kubernetes-validations": [
                            {"rule": "self.size < 100", "message": "too large"}]},
                    "status": {"type": "object", "properties": {
                        "phase": {"type": "string"}, "replicas": {"type": "integer"}}}}}}}]}}


@pytest.fixture
def widgets(kubectl):
    group = f"w{uuid.uuid4().hex[:6]}.example.com"
    kubectl("create", "-f", "-", stdin=definition(group))
    wait_established(kubectl, f"widgets.{group}")
    # Elsewhere serving follows the condition with a delay.
    wait_for(lambda: kubectl.run("get", f"widgets.{group}", "-A", check=False).returncode == 0)
    yield group
    kubectl("delete", "crd", f"widgets.{group}")


def widget(group, **spec):
    return {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": spec}


def test_life(kubectl, namespace, widgets):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=widget(widgets, size=3))
    resource = f"widgets.{widgets}"
    got = kubectl.json("get", resource, "a", "-n", namespace)
    assert got["spec"] == {"size": 3, "color": "red"} and got["metadata"]["generation"] == 1
    kubectl("patch", resource, "a", "-n", namespace, "--type=merge", "-p",
            '{"spec":{"size":4},"status":{"phase":"Lost"}}')
    got = kubectl.json("get", resource, "a", "-n", namespace)
    assert got["metadata"]["generation"] == 2 and "status" not in got
    kubectl("patch", resource, "a", "-n", namespace, "--subresource=status", "--type=merge", "-p",
            '{"spec":{"size":5},"status":{"phase":"Good"}}')
    got = kubectl.json("get", resource, "a", "-n", namespace)
    assert got["spec"]["size"] == 4 and got["status"] == {"phase": "Good"}
    assert got["metadata"]["generation"] == 2
    table = kubectl("get", resource, "-n", namespace).split("\n")
    assert table[0].split() == ["NAME", "SIZE", "PHASE"] and table[1].split() == ["a", "4", "Good"]


def test_refused(kubectl, namespace, widgets):
    args = ("create", "-n", namespace, "-f", "-")
    said = kubectl.fails(*args, stdin=widget(widgets, color="blue"))
    assert said.startswith('The Widget "a" is invalid:') and "spec.size: Required value" in said
    assert "spec.size: Invalid value" in kubectl.fails(*args, stdin=widget(widgets, size=0))
    assert "Unsupported value" in kubectl.fails(*args, stdin=widget(widgets, size=1, color="x"))
    assert "too large" in kubectl.fails(*args, stdin=widget(widgets, size=100))
    assert 'unknown field "spec.sizes"' in kubectl.fails(*args,
                                                        stdin=widget(widgets, size=1, sizes=2))


def test_pruned_with_a_warning(kubectl, namespace, widgets):
    done = kubectl.run("create", "-n", namespace, "--validate=warn", "-f", "-",
                       stdin=widget(widgets, size=1, sizes=2))
    assert 'unknown field "spec.sizes"' in done.stderr
    assert kubectl.json("get", f"widgets.{widgets}", "a", "-n", namespace)["spec"] == {
        "size": 1, "color": "red"}


def test_scale(kubectl, namespace, widgets):
    kubectl("create", "-n", namespace, "-f", "-", stdin=widget(widgets, size=1, replicas=1))
    kubectl("scale", f"widgets.{widgets}/a", "--replicas=5", "-n", namespace)
    assert kubectl.json("get", f"widgets.{widgets}", "a", "-n", namespace)["spec"]["replicas"] == 5


def test_explain(kubectl, widgets):
    # discovery learns of a definition a while after it is established
    out = wait_for(lambda: kubectl.run("explain", "widgets.spec", f"--api-version={widgets}/v1",
                                       check=False).stdout, what="the definition's schema")
    assert "size" in out and "-required-" in out


def test_definition_takes_its_objects_along(kubectl, namespace):
    group = f"w{uuid.uuid4().hex[:6]}.example.com"
    kubectl("create", "-f", "-", stdin=definition(group))
    wait_established(kubectl, f"widgets.{group}")
    wait_for(lambda: kubectl.run("create", "-n", namespace, "-f", "-", check=False,
                                 stdin=widget(group, size=1)).returncode == 0)
    kubectl("delete", "crd", f"widgets.{group}")
    assert "doesn't have a resource type" in kubectl.fails("get", f"widgets.{group}")


def test_bad_definition(kubectl):
    bad = definition("bad.example.com")
    del bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["type"]
    assert "must not be empty" in kubectl.fails("create", "-f", "-", stdin=bad)


def refused(kubectl, change):
    crd = definition("refused.example.com")
    change(crd)
    return kubectl.fails("create", "-f", "-", stdin=crd)


def schema_of(crd):
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


@pytest.mark.parametrize("change, message", [
    (lambda c: c["spec"]["versions"][0].update(name="V_1"), "spec.versions[0].name: Invalid value"),
    (lambda c: c["spec"]["names"].update(kind="foo bar"), "spec.names.kind: Invalid value: "
     '"foo bar": may have mixed case, but should otherwise match'),
    (lambda c: c["spec"]["versions"][0]["additionalPrinterColumns"][0].update(type="foo"),
     'spec.additionalPrinterColumns[0].type: Invalid value: "foo": must be one of '
     "boolean,date,integer,number,string"),
    (lambda c: schema_of(c)["properties"]["size"].update(default="x"),
     'properties[size].default: Invalid value: "string":  in body must be of type integer'),
    (lambda c: schema_of(c)["properties"].update(x={"$ref": "#/y"}),
     "properties[x].$ref: Forbidden: $ref is not supported"),
    (lambda c: schema_of(c)["properties"].update(x={
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["z"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
     "entries must all be names of item properties"),
    (lambda c: (c["spec"].update(group="x.k8s.io"), c["metadata"].update(name="widgets.x.k8s.io")),
     "protected groups must have approval annotation"),
])
def test_definitions_that_make_no_sense(kubectl, change, message):
    assert message in refused(kubectl, change)


def test_names_are_taken_once(kubectl, widgets):
    """A second definition with the same kind is not served before the first is gone."""
    second = definition(widgets)
    second["metadata"]["name"] = f"gadgets.{widgets}"
    second["spec"]["names"] = {"plural": "gadgets", "kind": "Widget", "singular": "gadget"}
    kubectl("create", "-f", "-", stdin=second)
    try:
        kubectl("wait", f"crd/gadgets.{widgets}", "--for=condition=NamesAccepted=false",
                "--timeout=20s")
        conditions = kubectl.json("get", "crd", f"gadgets.{widgets}")["status"]["conditions"]
        told = {c["type"]: c for c in conditions}["NamesAccepted"]
        assert (told["reason"], told["message"]) == (
            "ListKindConflict", '"WidgetList" is already in use')
        kubectl("get", f"widgets.{widgets}", "-A")
    finally:
        kubectl("delete", "crd", f"gadgets.{widgets}")


def test_what_a_definition_keeps(kubectl, widgets):
    for change, field in (('{"spec":{"scope":"Cluster"}}', "spec.scope"),
                          ('{"spec":{"group":"other.example.com"}}', "spec.group")):
        said = kubectl.fails("patch", "crd", f"widgets.{widgets}", "--type=merge", "-p", change)
        assert f"{field}: Invalid value" in said and "field is immutable" in said


def test_apply_tells_unknown_fields(kubectl, namespace, widgets):
    said = kubectl.fails("apply", "--server-side", "-n", namespace, "-f", "-",
                         stdin=widget(widgets, size=3, colour="red"))
    assert ".spec.colour: field not declared in schema" in said
