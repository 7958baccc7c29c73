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
    body = None if method == "GET" else configmap("a") if method != "DELETE" else {}
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
    lines = status["message"].split("\n")
    assert lines[0].endswith("Kind=Pod): errors:") and sorted(lines[1:]) == [
        '  .spec.containers[name="a"].imagee: field not declared in schema',
        "  .spec.foo: field not declared in schema"]


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
