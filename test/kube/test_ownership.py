# SPDX-License-Identifier: Apache-2.0
"""Who owns which field (metadata.managedFields), and what never gets that far."""
import json

import pytest

from test_custom import widget, widgets  # noqa: F401 (a fixture)

NOWHERE = {"nodeSelector": {"nowhere": "yes"}}
CONTAINERS = [{"name": "c", "image": "local/none:1"}]


def made(kubectl, namespace, kind, spec, name="a", **more):
    version = "batch/v1" if kind == "Job" else "v1"
    value = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec, **more}
    return json.loads(kubectl("create", "-n", namespace, "-f", "-", "-o", "json",
                              "--show-managed-fields", "--field-manager=me", stdin=value))


def owned(value, manager="me"):
    """The fieldsV1 of a manager's update."""
    return next(e["fieldsV1"] for e in value["metadata"]["managedFields"]
                if e["manager"] == manager and "subresource" not in e)


def test_what_the_server_decides_is_nobodys(kubectl, namespace):
    service = owned(made(kubectl, namespace, "Service", {"ports": [{"port": 80}]}))
    assert set(service["f:spec"]) == {"f:internalTrafficPolicy", "f:ports", "f:sessionAffinity",
                                      "f:type"}
    pod = owned(made(kubectl, namespace, "Pod", {"containers": CONTAINERS, **NOWHERE}))
    assert "f:status" not in pod
    assert not {"f:tolerations", "f:priority", "f:preemptionPolicy", "f:volumes",
                "f:serviceAccountName"} & set(pod["f:spec"])
    assert "f:restartPolicy" in pod["f:spec"]  # a default is the client's word
    template = {"spec": {"containers": CONTAINERS, "restartPolicy": "Never", **NOWHERE}}
    job = owned(made(kubectl, namespace, "Job", {"template": template}))
    assert "f:selector" not in job["f:spec"] and "f:metadata" not in job["f:spec"]["f:template"]
    assert "f:metadata" not in job and "f:completions" in job["f:spec"]


def test_namespace_and_event(kubectl, namespace):
    space = kubectl.json("get", "namespace", namespace, "--show-managed-fields")
    assert "f:spec" not in owned(space, "kubectl-create")
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Because",
             "involvedObject": {"kind": "Pod", "name": "p", "namespace": namespace}}
    got = json.loads(kubectl("create", "-n", namespace, "-f", "-", "-o", "json",
                             "--show-managed-fields", stdin=event))
    assert got["eventTime"] is None
    assert not {"f:eventTime", "f:firstTimestamp"} & set(owned(got, "kubectl-create"))


def test_node_status_is_nobodys(kubectl):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ownership"},
            "status": {"capacity": {"cpu": "1"}}}
    try:
        got = json.loads(kubectl("create", "-f", "-", "-o", "json", "--show-managed-fields",
                                 stdin=node))
        assert got["status"]["capacity"] == {"cpu": "1"}
        assert not any("f:status" in e["fieldsV1"] for e in got["metadata"].get("managedFields", [])
                       if "subresource" not in e)
    finally:
        kubectl("delete", "node", "ownership")


@pytest.mark.parametrize("sent, stays", [("null", True), ("[]", False), ("[{}]", False)])
def test_reset(kubectl, namespace, sent, stays):
    kubectl("create", "configmap", "a", "--from-literal=x=1", "-n", namespace)
    kubectl("patch", "cm", "a", "-n", namespace, "--type=merge", "-p",
            '{"metadata":{"managedFields":%s}}' % sent)
    got = kubectl.json("get", "cm", "a", "-n", namespace, "--show-managed-fields")
    assert ("managedFields" in got["metadata"]) is stays


@pytest.mark.parametrize("sent", [[], [{}]])
def test_no_reset_of_what_is_new(kubectl, namespace, sent):
    kubectl("create", "--validate=false", "-n", namespace, "-f", "-", stdin={
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"x": "1"},
        "metadata": {"name": "a", "managedFields": sent}})
    got = kubectl.json("get", "cm", "a", "-n", namespace, "--show-managed-fields")
    assert [m["manager"] for m in got["metadata"]["managedFields"]] == ["kubectl-create"]


def test_metadata_has_its_types(kubectl, namespace, widgets):  # noqa: F811
    bad = widget(widgets, size=1)
    bad["metadata"]["labels"] = {"a": 5}
    said = kubectl.fails("create", "--validate=false", "-n", namespace, "-f", "-", stdin=bad)
    assert "cannot unmarshal number into Go struct field ObjectMeta" in said
    good = widget(widgets, size=1)
    kubectl("create", "-n", namespace, "-f", "-", stdin=good)
    said = kubectl.fails("patch", f"widgets.{widgets}", "a", "-n", namespace, "--type=merge", "-p",
                         '{"metadata":{"annotations":{"a":true}}}')
    assert "cannot unmarshal bool into Go struct field ObjectMeta" in said


def test_duplicates_and_unknown_fields(kubectl, namespace, tmp_path):
    text = ('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},'
            ' "zero": 1, "data": {"x": "1"}, "data": {"x": "2"}}')
    file = tmp_path / "a.json"
    file.write_text(text)
    path = f"/api/v1/namespaces/{namespace}/configmaps?fieldValidation=Strict"
    said = kubectl.fails("create", "--raw", path, "-f", str(file))
    found = said.strip().rpartition("strict decoding error: ")[2]
    assert sorted(found.split(", ")) == ['duplicate field "data"', 'unknown field "zero"']
