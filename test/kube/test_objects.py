# SPDX-License-Identifier: Apache-2.0
"""Objects as kubectl and the Python client handle them."""
import json

import pytest

from conftest import wait_for


def config_map(name="a", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_create_get_delete(kubectl, namespace):
    assert kubectl("create", "-n", namespace, "-f", "-", stdin=config_map(x="1")) == \
        "configmap/a created\n"
    got = kubectl.json("get", "cm", "a", "-n", namespace)
    assert got["data"] == {"x": "1"}
    assert got["metadata"]["uid"] and got["metadata"]["creationTimestamp"]
    assert 'configmaps "a" already exists' in kubectl.fails("create", "-n", namespace, "-f", "-",
                                                            stdin=config_map())
    assert kubectl("delete", "cm", "a", "-n", namespace) == 'configmap "a" deleted\n'
    assert 'configmaps "a" not found' in kubectl.fails("get", "cm", "a", "-n", namespace)


def test_commands_that_make_objects(kubectl, namespace):
    kubectl("create", "configmap", "c", "--from-literal=a=b", "-n", namespace)
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b", "-n", namespace)
    kubectl("create", "serviceaccount", "sa", "-n", namespace)
    kubectl("create", "job", "j", "--image=local/none:1", "-n", namespace, "--", "true")
    assert kubectl.json("get", "secret", "s", "-n", namespace)["data"] == {"a": "Yg=="}
    assert kubectl("create", "token", "sa", "-n", namespace).count(".") == 2


def test_apply_client_side(kubectl, namespace):
    args = ("apply", "-n", namespace, "-f", "-")
    assert kubectl(*args, stdin=config_map(x="1", y="1")) == "configmap/a created\n"
    assert kubectl(*args, stdin=config_map(x="1", y="1")) == "configmap/a unchanged\n"
    assert kubectl(*args, stdin=config_map(x="2")) == "configmap/a configured\n"
    assert kubectl.json("get", "cm", "a", "-n", namespace)["data"] == {"x": "2"}


def test_apply_server_side(kubectl, namespace):
    args = ("apply", "--server-side", "-n", namespace, "-f", "-")
    assert kubectl(*args, stdin=config_map(x="1")) == "configmap/a serverside-applied\n"
    kubectl(*args, "--field-manager=other", stdin=config_map(y="1"))
    refused = kubectl.fails(*args, "--field-manager=other", stdin=config_map(x="3", y="1"))
    assert 'conflict with "kubectl": .data.x' in refused
    kubectl(*args, "--field-manager=other", "--force-conflicts", stdin=config_map(x="3", y="1"))
    kubectl(*args, stdin=config_map())
    assert kubectl.json("get", "cm", "a", "-n", namespace)["data"] == {"x": "3", "y": "1"}


def test_patch_label_annotate(kubectl, namespace):
    kubectl("create", "-n", namespace, "-f", "-", stdin=config_map(x="1"))
    kubectl("label", "cm", "a", "l=1", "-n", namespace)
    kubectl("annotate", "cm", "a", "n=1", "-n", namespace)
    kubectl("patch", "cm", "a", "-n", namespace, "--type=merge", "-p", '{"data":{"x":null,"y":"2"}}')
    kubectl("patch", "cm", "a", "-n", namespace, "-p", '{"data":{"z":"3"}}')
    kubectl("patch", "cm", "a", "-n", namespace, "--type=json", "-p",
            '[{"op":"replace","path":"/data/new","value":"4"}]')
    got = kubectl.json("get", "cm", "a", "-n", namespace)
    assert got["data"] == {"y": "2", "z": "3", "new": "4"}
    assert got["metadata"]["labels"] == {"l": "1"} and got["metadata"]["annotations"] == {"n": "1"}


def test_conflict(api, namespace):
    v1 = api.CoreV1Api()
    made = v1.create_namespaced_config_map(namespace, api.V1ConfigMap(
        metadata=api.V1ObjectMeta(generate_name="g-"), data={"x": "1"}))
    assert made.metadata.name.startswith("g-") and len(made.metadata.name) == 7
    v1.patch_namespaced_config_map(made.metadata.name, namespace, {"data": {"x": "2"}})
    made.data = {"x": "3"}
    with pytest.raises(api.ApiException) as error:
        v1.replace_namespaced_config_map(made.metadata.name, namespace, made)
    assert error.value.status == 409
    assert json.loads(error.value.body)["message"] == (
        f'Operation cannot be fulfilled on configmaps "{made.metadata.name}": the object has been '
        "modified; please apply your changes to the latest version and try again")


def test_unknown_and_wrong_fields(kubectl, namespace):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
           "spec": {"containers": [{"name": "c", "image": "i", "imagine": 1}]}}
    assert 'unknown field "spec.containers[0].imagine"' in kubectl.fails(
        "create", "-n", namespace, "-f", "-", stdin=pod)
    pod["spec"]["containers"] = [{"name": "C_", "image": "i"}]
    assert 'The Pod "p" is invalid: spec.containers[0].name: Invalid value: "C_"' in kubectl.fails(
        "create", "-n", namespace, "-f", "-", stdin=pod)


def test_dry_run(kubectl, namespace):
    out = kubectl("create", "-n", namespace, "--dry-run=server", "-f", "-", stdin=config_map())
    assert out == "configmap/a created (server dry run)\n"
    assert not kubectl.json("get", "cm", "-n", namespace, "-l", "none=none")["items"]
    kubectl.fails("get", "cm", "a", "-n", namespace)


def test_selectors_and_pages(kubectl, namespace):
    for i in range(7):
        one = config_map(f"m{i}")
        one["metadata"]["labels"] = {"n": str(i), "odd": str(i % 2)}
        kubectl("create", "-n", namespace, "-f", "-", stdin=one)
    names = "-o=jsonpath={.items[*].metadata.name}"
    assert kubectl("get", "cm", "-n", namespace, "-l", "odd=1,n!=3", names) == "m1 m5"
    assert kubectl("get", "cm", "-n", namespace, "-l", "n in (1,2)", names) == "m1 m2"
    assert kubectl("get", "cm", "-n", namespace, "--field-selector=metadata.name=m4", names) == "m4"
    assert kubectl("get", "cm", "-n", namespace, "-l", "n", "--chunk-size=2", names) == \
        "m0 m1 m2 m3 m4 m5 m6"
    assert '"data.x" is not a known field selector' in kubectl.fails(
        "get", "cm", "-n", namespace, "--field-selector=data.x=1")
    assert "field label not supported: spec.x" in kubectl.fails(
        "get", "pods", "-n", namespace, "--field-selector=spec.x=1")
    kubectl("delete", "cm", "-n", namespace, "-l", "odd=0")
    assert kubectl("get", "cm", "-n", namespace, "-l", "n", names) == "m1 m3 m5"


def test_watch(api, namespace):
    from kubernetes import watch
    v1 = api.CoreV1Api()
    start = v1.list_namespaced_config_map(namespace).metadata.resource_version
    v1.create_namespaced_config_map(namespace, api.V1ConfigMap(
        metadata=api.V1ObjectMeta(name="w", labels={"a": "1"})))
    v1.patch_namespaced_config_map("w", namespace, {"data": {"x": "1"}})
    v1.patch_namespaced_config_map("w", namespace, {"metadata": {"labels": {"a": "2"}}})
    v1.delete_namespaced_config_map("w", namespace)
    seen = [e["type"] for e in watch.Watch().stream(
        v1.list_namespaced_config_map, namespace, resource_version=start, label_selector="a=1",
        timeout_seconds=1)]
    assert seen == ["ADDED", "MODIFIED", "DELETED"]
    seen = [e["type"] for e in watch.Watch().stream(
        v1.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=1,
        field_selector="metadata.name=w")]
    assert seen == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]


def test_finalizers(kubectl, namespace):
    one = config_map()
    one["metadata"]["finalizers"] = ["example.com/hold"]
    kubectl("create", "-n", namespace, "-f", "-", stdin=one)
    kubectl("delete", "cm", "a", "-n", namespace, "--wait=false")
    assert kubectl.json("get", "cm", "a", "-n", namespace)["metadata"]["deletionTimestamp"]
    kubectl("patch", "cm", "a", "-n", namespace, "--type=merge", "-p",
            '{"metadata":{"finalizers":null}}')
    kubectl.fails("get", "cm", "a", "-n", namespace)


def owned(name, owner, block=True):
    one = config_map(name)
    one["metadata"]["ownerReferences"] = [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": block}]
    return one


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_owner_garbage_collection(kubectl, namespace, cascade):
    kubectl("create", "-n", namespace, "-f", "-", stdin=config_map("owner"))
    owner = kubectl.json("get", "cm", "owner", "-n", namespace)
    kubectl("create", "-n", namespace, "-f", "-", stdin=owned("child", owner))
    kubectl("delete", "cm", "owner", "-n", namespace, f"--cascade={cascade}")
    if cascade == "orphan":
        child = kubectl.json("get", "cm", "child", "-n", namespace)
        assert "ownerReferences" not in child["metadata"]
        return
    wait_for(lambda: kubectl.run("get", "cm", "child", "-n", namespace, check=False).returncode,
             what="the child to go")


def test_namespace_deletion(kubectl, namespace):
    kubectl("create", "-n", namespace, "-f", "-", stdin=config_map())
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    kubectl("create", "-n", namespace, "-f", "-", stdin=held)
    kubectl("create", "namespace", f"{namespace}-x")
    kubectl("delete", "namespace", f"{namespace}-x")
    kubectl.fails("get", "namespace", f"{namespace}-x")
    kubectl("delete", "namespace", namespace, "--wait=false")
    wait_for(lambda: kubectl.run("get", "cm", "a", "-n", namespace, check=False).returncode)
    assert "because it is being terminated" in kubectl.fails("create", "-n", namespace, "-f", "-",
                                                             stdin=config_map("late"))
    assert kubectl.json("get", "namespace", namespace)["status"]["phase"] == "Terminating"
    kubectl("patch", "cm", "held", "-n", namespace, "--type=merge", "-p",
            '{"metadata":{"finalizers":null}}')
    wait_for(lambda: kubectl.run("get", "ns", namespace, check=False).returncode)
    kubectl("create", "namespace", namespace)  # the fixture deletes it


def test_events(kubectl, namespace):
    for kind in ("Normal", "Warning"):
        kubectl("create", "-n", namespace, "-f", "-", stdin={
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": f"e-{kind.lower()}"},
            "type": kind, "reason": "Tested", "message": "words",
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": namespace}})
    out = kubectl("get", "events", "-n", namespace,
                  "--field-selector=type=Warning,reason=Tested", "--no-headers")
    assert out.split()[1:] == ["Warning", "Tested", "pod/p", "words"]
    other = kubectl.json("get", "events.v1.events.k8s.io", "e-normal", "-n", namespace)
    assert other["note"] == "words" and other["regarding"]["name"] == "p"


def test_discovery_and_explain(kubectl):
    names = kubectl("api-resources", "-o", "name").split()
    assert {"pods", "services", "jobs.batch", "leases.coordination.k8s.io",
            "customresourcedefinitions.apiextensions.k8s.io"} <= set(names)
    out = kubectl("explain", "pod.spec.containers.image")
    assert "FIELD: image <string>" in out
    kubectl("version")


def test_refusals(kubectl, kubeconfig):
    assert "the server could not find the requested resource" in kubectl.fails(
        "get", "--raw", "/apis/nowhere.example.com/v1")
    assert "the server doesn't have a resource type" in kubectl.fails("get", "unicorns")
    import ssl
    import urllib.error
    import urllib.request
    server = kubectl.json("config", "view", "--raw")["clusters"][0]["cluster"]["server"]
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(server + "/api/v1/secrets", context=ssl._create_unverified_context())
    assert refusal.value.code in (401, 403)
