# SPDX-License-Identifier: Apache-2.0
"""What a server answers to requests that are wrong, or ask for more than an object: plain HTTP, code
and sentence. Each was recorded from a kube-apiserver 1.34."""
import base64
import http.client
import json
import ssl
import urllib.parse

import pytest

from conftest import wait_for


class Http:
    """Requests with the kubeconfig's client certificate."""

    def __init__(self, kubectl, folder):
        view = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        cluster, user = view["clusters"][0]["cluster"], view["users"][0]["user"]

        def file(owner, key):
            if key + "-data" not in owner:
                return owner[key]
            path = folder / key
            path.write_bytes(base64.b64decode(owner[key + "-data"]))
            return path

        self.address = urllib.parse.urlparse(cluster["server"]).netloc
        self.context = ssl.create_default_context(cafile=file(cluster, "certificate-authority"))
        self.context.check_hostname = False
        self.context.load_cert_chain(file(user, "client-certificate"), file(user, "client-key"))

    def __call__(self, method, path, body=None, kind="application/json", **headers):
        """Code and body."""
        connection = http.client.HTTPSConnection(self.address, context=self.context, timeout=30)
        if body is not None:
            headers["Content-Type"] = kind
            body = body if isinstance(body, str) else json.dumps(body)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text[:1] == b"{" else text.decode()


@pytest.fixture(scope="session")
def ask(kubectl, tmp_path_factory):
    return Http(kubectl, tmp_path_factory.mktemp("http"))


@pytest.fixture
def configmaps(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


def configmap(name, **metadata):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}


MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"

OPTIONS = [
    ("POST", "?fieldValidation=Foo", None, 'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: '
     'Unsupported value: "Foo": supported values: "", "Ignore", "Strict", "Warn"'),
    ("POST", "?dryRun=Some", None, 'CreateOptions.meta.k8s.io "" is invalid: dryRun: '
     'Unsupported value: ["Some"]: supported values: "All"'),
    ("POST", "?fieldManager=" + "x" * 130, None, 'CreateOptions.meta.k8s.io "" is invalid: '
     'fieldManager: Too long: may not be more than 128 bytes'),
    ("PATCH", "/a?force=true", MERGE, 'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: '
     'may not be specified for non-apply patch'),
    ("PATCH", "/a", APPLY, 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: '
     'is required for apply patch'),
    ("DELETE", "/a?propagationPolicy=Foo", None, 'DeleteOptions.meta.k8s.io "" is invalid: '
     'propagationPolicy: Unsupported value: "Foo": supported values: "Foreground", "Background", '
     '"Orphan", "nil"'),
    ("GET", "?resourceVersionMatch=Exact", None, 'ListOptions.meta.k8s.io "" is invalid: '
     'resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is '
     'provided'),
    ("GET", "?sendInitialEvents=true", None, 'ListOptions.meta.k8s.io "" is invalid: '
     'sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list'),
    ("GET", "?watch=1&sendInitialEvents=true&timeoutSeconds=1", None,
     'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents '
     'requires setting resourceVersionMatch to NotOlderThan'),
]


@pytest.mark.parametrize("method, query, kind, message", OPTIONS)
def test_options(ask, configmaps, method, query, kind, message):
    body = configmap("a") if method in ("POST", "PATCH") else None
    code, status = ask(method, configmaps + query, body, kind or "application/json")
    assert (code, status["message"]) == (422, message)
    assert status["reason"] == "Invalid" and status["details"]["group"] == "meta.k8s.io"


def test_names_and_identity(ask, configmaps):
    assert ask("POST", configmaps, configmap("a"))[0] == 201
    code, status = ask("PUT", configmaps + "/a", {**configmap("a"), "metadata": {}})
    assert (code, status["message"]) == (
        400, "the name of the object (a based on URL) was undeterminable: name must be provided")
    for kind in (MERGE, APPLY):
        code, status = ask("PATCH", configmaps + "/a?fieldManager=m", configmap("b"), kind)
        assert (code, status["message"]) == (
            400, "the name of the object (b) does not match the name on the URL (a)")
    code, status = ask("PATCH", configmaps + "/a", {"metadata": {"uid": "1"}}, MERGE)
    assert (code, status["message"]) == (
        422, 'ConfigMap "a" is invalid: metadata.uid: Invalid value: "1": field is immutable')
    code, status = ask("DELETE", configmaps + "/a", {"preconditions": {"uid": "x"}})
    assert code == 409 and "the UID in the precondition (x) does not match" in status["message"]


def test_apply_tells_all_that_is_wrong(ask, configmaps, namespace):
    def apply(path, body):
        body["metadata"]["namespace"] = namespace
        return ask("PATCH", f"{path}/x?fieldManager=m", body, APPLY)

    code, status = apply(configmaps, {**configmap("x"), "foo": 1})
    assert code == 500 and "reason" not in status
    assert status["message"] == (f"failed to create typed patch object ({namespace}/x; /v1, "
                                 "Kind=ConfigMap): .foo: field not declared in schema")
    code, status = apply(configmaps, {**configmap("x"), "data": {"k": True}})
    assert status["message"].endswith(
        ".data.k: expected string, got &value.valueUnstructured{Value:true}")
    code, status = apply(configmaps, {**configmap("x"), "data": "y"})
    assert status["message"].endswith(".data: expected map, got &{y}")
    code, status = apply(configmaps, configmap("x", managedFields=[]))
    assert (code, status["message"]) == (400, "metadata.managedFields must be nil")
    code, status = ask("PATCH", configmaps + "/x?fieldManager=m", {"metadata": {"name": "x"}}, APPLY)
    assert (code, status["message"]) == (400, "invalid object type: /, Kind=")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
           "spec": {"foo": 1, "containers": [{"name": "a", "image": "b", "imagee": "c"}]}}
    code, status = apply(f"/api/v1/namespaces/{namespace}/pods", pod)
    assert code == 500 and ".spec.foo: field not declared in schema" in status["message"]


def test_finalizers(ask, configmaps):
    code, status = ask("POST", configmaps, configmap("x", finalizers=["x"]))
    assert (code, status["message"]) == (
        422, 'ConfigMap "x" is invalid: metadata.finalizers[0]: Invalid value: "x": name is neither a '
        'standard finalizer name nor is it fully qualified')
    assert ask("POST", configmaps, configmap("x", finalizers=["example.com/x"]))[0] == 201
    assert ask("DELETE", configmaps + "/x")[0] == 200
    code, status = ask("PATCH", configmaps + "/x",
                       {"metadata": {"finalizers": ["example.com/x", "example.com/y"]}}, MERGE)
    assert (code, status["message"]) == (
        422, 'ConfigMap "x" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added '
        'if the object is being deleted, found new finalizers []string{"example.com/y"}')
    assert ask("PATCH", configmaps + "/x", {"metadata": {"finalizers": None}}, MERGE)[0] == 200
    assert ask("GET", configmaps + "/x")[0] == 404


def test_pages_are_of_one_moment(ask, configmaps):
    """Later pages show the list as it was when the first was asked for."""
    for i in range(6):
        assert ask("POST", configmaps, configmap(f"c{i}"))[0] == 201
    _, first = ask("GET", configmaps + "?limit=2")
    ask("DELETE", configmaps + "/c5")
    ask("POST", configmaps, configmap("c9"))
    ask("PATCH", configmaps + "/c4", {"data": {"new": "1"}}, MERGE)
    items, page = first["items"], first
    while page["metadata"].get("continue"):
        token = urllib.parse.quote(page["metadata"]["continue"])
        _, page = ask("GET", f"{configmaps}?limit=2&continue={token}")
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        items += page["items"]
    names = [item["metadata"]["name"] for item in items]
    assert names == ["c0", "c1", "c2", "c3", "c4", "c5", "kube-root-ca.crt"]
    assert not any("new" in item.get("data", {}) for item in items)
    revision = first["metadata"]["resourceVersion"]
    _, again = ask("GET", f"{configmaps}?resourceVersion={revision}&resourceVersionMatch=Exact")
    assert [item["metadata"]["name"] for item in again["items"]] == names


def test_revisions_of_the_future(ask, configmaps):
    for path in (configmaps, configmaps + "/kube-root-ca.crt"):
        code, status = ask("GET", path + "?resourceVersion=99999999")
        assert code == 504 and "Too large resource version: 99999999" in status["message"]


def test_namespaces_that_stay(kubectl, ask, namespace):
    for name in ("default", "kube-system", "kube-public"):
        code, status = ask("DELETE", f"/api/v1/namespaces/{name}")
        assert (code, status["message"]) == (
            403, f'namespaces "{name}" is forbidden: this namespace may not be deleted')
    for kind, name in (("configmap", "kube-root-ca.crt"), ("serviceaccount", "default")):
        before = kubectl.json("-n", namespace, "get", kind, name)["metadata"]["uid"]
        kubectl("-n", namespace, "delete", kind, name)
        wait_for(lambda: [o for o in kubectl.json("-n", namespace, "get", kind)["items"]
                          if o["metadata"]["name"] == name and o["metadata"]["uid"] != before],
                 what=f"{name} again")


def test_finalize_a_namespace(ask, kubectl, namespace):
    """What people do with a namespace that does not end."""
    path = f"/api/v1/namespaces/{namespace}"
    ask("POST", path + "/configmaps", configmap("held", finalizers=["example.com/x"]))
    assert ask("DELETE", path)[0] == 200
    kubectl("wait", f"namespace/{namespace}", "--for=condition=NamespaceContentRemaining",
            "--timeout=30s")
    code, space = ask("GET", path)
    assert space["spec"]["finalizers"] == ["kubernetes"]
    space["spec"] = {}
    assert ask("PUT", path + "/finalize", space)[0] == 200
    wait_for(lambda: ask("GET", path)[0] == 404, what="the end of the namespace")


def test_sizes(ask, configmaps):
    code, status = ask("POST", configmaps, {**configmap("big"), "data": {"x": "a" * 1100000}})
    assert (code, status["message"]) == (
        422, 'ConfigMap "big" is invalid: []: Too long: may not be more than 1048576 bytes')
    try:
        code, status = ask("POST", configmaps, {**configmap("big"), "data": {"x": "a" * 3300000}})
        assert code == 413
    except ConnectionError:
        pass  # answered and closed before all of it was sent


JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {
    "suspend": True, "template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "local/none:1"}]}}}}


def test_jobs_keep_their_shape(ask, namespace):
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    code, status = ask("POST", jobs + "?dryRun=All", {
        **JOB, "spec": {**JOB["spec"], "selector": {"matchLabels": {"a": "b"}}}})
    assert code == 422 and "`selector` not auto-generated" in status["message"]
    assert "`selector` does not match template `labels`" in status["message"]
    assert ask("POST", jobs, JOB)[0] == 201
    code, status = ask("PATCH", jobs + "/j", {"spec": {"completions": 5}}, MERGE)
    assert (code, status["message"]) == (
        422, 'Job.batch "j" is invalid: spec.completions: Invalid value: 5: field is immutable')
    containers = [{"name": "c", "image": "local/other:1"}]
    code, status = ask("PATCH", jobs + "/j",
                       {"spec": {"template": {"spec": {"containers": containers}}}}, MERGE)
    assert code == 422 and status["message"].endswith("field is immutable")
    # A queue places what has not started.
    code, _ = ask("PATCH", jobs + "/j",
                  {"spec": {"template": {"spec": {"nodeSelector": {"pool": "a"}}}}}, MERGE)
    assert code == 200
    assert ask("PATCH", jobs + "/j", {"spec": {"parallelism": 5}}, MERGE)[0] == 200


PODS = [
    ({"hostname": "A_B"}, {}, "spec.hostname: Invalid value"),
    ({}, {"resources": {"requests": {"nvidia.com/gpu": "1"}}},
     "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable "
     "resources"),
    ({}, {"resources": {"limits": {"nvidia.com/gpu": "0.5"}}},
     'spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "500m": must be an integer'),
    ({}, {"livenessProbe": {"exec": {"command": ["true"]}, "successThreshold": 2}},
     "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"),
    ({"volumes": [{"name": "v", "configMap": {}}]}, {},
     "spec.volumes[0].configMap.name: Required value"),
    ({"volumes": [{"name": "v", "secret": {}}]}, {},
     "spec.volumes[0].secret.secretName: Required value"),
    ({"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]}, {},
     'spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not contain \'..\''),
    ({"volumes": [{"name": "v", "configMap": {"name": "m", "items": [
        {"key": "k", "path": "../x"}]}}]}, {},
     'spec.volumes[0].configMap.items[0].path: Invalid value: "../x": must not contain \'..\''),
    ({"volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 99999}}]}, {},
     "spec.volumes[0].secret.defaultMode: Invalid value: 99999: must be a number between 0 and "
     "0777 (octal), both inclusive"),
    ({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "-1"}}]}, {},
     "spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource "
     "quantity"),
    ({"volumes": [{"name": "v"}]},
     {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "../../etc"}]},
     'spec.containers[0].volumeMounts.subPath: Invalid value: "../../etc": must not contain'),
]


@pytest.mark.parametrize("spec, container, message", PODS)
def test_pods_that_make_no_sense(ask, namespace, spec, container, message):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "c", "image": "local/none:1", **container}], **spec}}
    code, status = ask("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod)
    assert code == 422 and message in status["message"]


def test_services_and_addresses(ask, namespace):
    def service(**spec):
        code, status = ask("POST", f"/api/v1/namespaces/{namespace}/services", {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"ports": [{"port": 80}], **spec}})
        return status["message"] if code == 422 else code

    assert "must be a valid IP address" in service(clusterIP="x")
    outside = service(clusterIP="1.2.3.4")
    assert "failed to allocate IP 1.2.3.4: the provided" in outside and "null" not in outside
    assert "provided port is not in the valid range" in service(
        type="NodePort", ports=[{"port": 80, "nodePort": 80}])
    assert service(type="NodePort") == 201


def test_nodes_and_taints(ask, kubectl, namespace):
    name, nodes = f"n-{namespace}", "/api/v1/nodes"

    def keys(node):
        return {t["key"] for t in node["spec"].get("taints", [])}

    def taints():
        return keys(kubectl.json("get", "node", name))

    code, node = ask("POST", nodes, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    try:
        # nobody said that it is ready
        assert code == 201 and "node.kubernetes.io/not-ready" in keys(node)
        twice = [{"key": "a", "effect": "NoSchedule"}] * 2
        code, status = ask("PATCH", f"{nodes}/{name}", {"spec": {"taints": twice}}, MERGE)
        assert code == 422 and "metadata.taints[1]: Duplicate value" in status["message"]
        kubectl("cordon", name)
        wait_for(lambda: "node.kubernetes.io/unschedulable" in taints(), what="cordon's taint")
        kubectl("uncordon", name)
        wait_for(lambda: "node.kubernetes.io/unschedulable" not in taints(), what="its end")
    finally:
        kubectl("delete", "node", name)


def test_logs_of_what_does_not_run(ask, kubectl, namespace):
    pods = f"/api/v1/namespaces/{namespace}/pods"
    ask("POST", pods, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
        "nodeSelector": {"nowhere": "x"}, "containers": [{"name": "c", "image": "local/none:1"}]}})
    code, text = ask("GET", pods + "/p/log")
    assert code in (200, 204) and text == ""
    code, status = ask("GET", pods + "/p/log?tailLines=-1&sinceSeconds=0")
    assert (code, status["message"]) == (
        422, 'PodLogOptions "p" is invalid: [tailLines: Invalid value: -1: must be greater than or '
        'equal to 0, sinceSeconds: Invalid value: 0: must be greater than 0]')


def test_health_and_who_asks(ask, kubectl):
    code, text = ask("GET", "/readyz?verbose")
    assert code == 200 and text.startswith("[+]ping ok\n") and text.endswith("readyz check passed\n")
    assert ask("GET", "/livez/ping") == (200, "ok")
    assert ask("GET", "/livez/nope")[0] == 404
    who = json.loads(kubectl("auth", "whoami", "-o", "json", "--as=bob", "--as-group=team"))
    assert who["status"]["userInfo"]["username"] == "bob"
    assert "team" in who["status"]["userInfo"]["groups"]
