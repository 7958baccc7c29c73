# SPDX-License-Identifier: Apache-2.0
"""What controllers and the scheduler do, as far as it shows without a node."""
import uuid

import pytest

from conftest import wait_for


def pod(name="p", spec=None, labels=None):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}},
            "spec": {"containers": [{"name": "c", "image": "local/none:1"}], **(spec or {})}}


def create(kubectl, namespace, value):
    kubectl("create", "-n", namespace, "-f", "-", stdin=value)


def finish(kubectl, namespace, name, phase):
    kubectl("patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge", "-p",
            '{"status":{"phase":"%s"}}' % phase)


def test_pod_is_completed_by_the_server(kubectl, namespace):
    create(kubectl, namespace, pod(spec={"nodeSelector": {"nowhere": "yes"}}))
    got = kubectl.json("get", "pod", "p", "-n", namespace)
    assert got["status"]["phase"] == "Pending" and got["status"]["qosClass"] == "BestEffort"
    assert got["spec"]["serviceAccountName"] == "default" and got["spec"]["priority"] == 0
    mounts = got["spec"]["containers"][0]["volumeMounts"]
    assert mounts[0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert "may not change fields" in kubectl.fails(
        "patch", "pod", "p", "-n", namespace, "--type=merge", "-p",
        '{"spec":{"hostNetwork":true}}')
    kubectl("delete", "pod", "p", "-n", namespace)  # on no node: gone at once


def test_unschedulable(kubectl, namespace):
    create(kubectl, namespace, pod(spec={"nodeSelector": {"nowhere": "yes"}}))

    def condition():
        found = kubectl.json("get", "pod", "p", "-n", namespace)["status"].get("conditions", [])
        return [c for c in found if c["type"] == "PodScheduled"]

    said = wait_for(condition, what="the scheduler")[0]
    assert said["status"] == "False" and said["reason"] == "Unschedulable"
    assert "nodes a" in said["message"]
    wait_for(lambda: "FailedScheduling" in kubectl("get", "events", "-n", namespace), what="event")


def test_missing_service_account(kubectl, namespace):
    assert 'serviceaccount "nobody" not found' in kubectl.fails(
        "create", "-n", namespace, "-f", "-", stdin=pod(spec={"serviceAccountName": "nobody"}))


def job(**spec):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
            "spec": {"template": {"spec": {
                "restartPolicy": "Never", "nodeSelector": {"nowhere": "yes"},
                "containers": [{"name": "c", "image": "local/none:1"}]}}, **spec}}


def job_pods(kubectl, namespace, active=True):
    found = kubectl.json("get", "pods", "-n", namespace, "-l", "job-name=j")["items"]
    return [p["metadata"]["name"] for p in found
            if not active or p["status"]["phase"] not in ("Succeeded", "Failed")]


def test_job_completes(kubectl, namespace):
    create(kubectl, namespace, job())
    name = wait_for(lambda: job_pods(kubectl, namespace), what="the Job's pod")[0]
    finish(kubectl, namespace, name, "Succeeded")
    kubectl("wait", "job/j", "-n", namespace, "--for=condition=Complete", "--timeout=20s")
    status = kubectl.json("get", "job", "j", "-n", namespace)["status"]
    assert status["succeeded"] == 1 and "failed" not in status
    kubectl("delete", "job", "j", "-n", namespace)
    wait_for(lambda: not job_pods(kubectl, namespace, False), what="the pods to go with their Job")


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_running_job_is_deleted(kubectl, namespace, cascade):
    create(kubectl, namespace, job())
    name = wait_for(lambda: job_pods(kubectl, namespace), what="the Job's pod")[0]
    kubectl("delete", "job", "j", "-n", namespace, f"--cascade={cascade}")
    if cascade == "orphan":
        wait_for(lambda: "job-tracking" not in kubectl("get", "pod", name, "-n", namespace, "-o",
                                                       "yaml"), what="the finalizer to go")
        return
    wait_for(lambda: not job_pods(kubectl, namespace, False), what="the pod to go")


def test_job_fails(kubectl, namespace):
    create(kubectl, namespace, job(backoffLimit=0))
    name = wait_for(lambda: job_pods(kubectl, namespace), what="the Job's pod")[0]
    finish(kubectl, namespace, name, "Failed")
    kubectl("wait", "job/j", "-n", namespace, "--for=condition=Failed", "--timeout=20s")
    failed = [c for c in kubectl.json("get", "job", "j", "-n", namespace)["status"]["conditions"]
              if c["type"] == "Failed"][0]
    assert failed["reason"] == "BackoffLimitExceeded"


def test_job_suspends(kubectl, namespace):
    create(kubectl, namespace, job(suspend=True))
    wait_for(lambda: "JobSuspended" in kubectl("get", "job", "j", "-n", namespace, "-o", "yaml"))
    assert not job_pods(kubectl, namespace)
    kubectl("patch", "job", "j", "-n", namespace, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    wait_for(lambda: job_pods(kubectl, namespace), what="the Job's pod")


@pytest.fixture
def node(kubectl):
    """A node where nothing ever runs."""
    name = f"n-{uuid.uuid4().hex[:8]}"
    kubectl("create", "-f", "-", stdin={
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "spec": {"unschedulable": True},
        "status": {"capacity": {"cpu": "1", "memory": "1Gi", "pods": "9"}}})
    yield name
    kubectl("delete", "node", name)


def test_service_and_endpoints(kubectl, namespace, node):
    create(kubectl, namespace, {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"selector": {"app": "x"}, "ports": [{"name": "w", "port": 80, "targetPort": 8080}]}})
    address = kubectl.json("get", "svc", "s", "-n", namespace)["spec"]["clusterIP"]
    assert address.count(".") == 3
    assert "may not change once set" in kubectl.fails(
        "patch", "svc", "s", "-n", namespace, "--type=merge", "-p",
        '{"spec":{"clusterIP":"10.96.255.250","clusterIPs":["10.96.255.250"]}}')
    create(kubectl, namespace, pod(spec={"nodeName": node}, labels={"app": "x"}))
    kubectl("patch", "pod", "p", "-n", namespace, "--subresource=status", "--type=merge", "-p",
            '{"status":{"phase":"Running","podIP":"10.1.2.3","podIPs":[{"ip":"10.1.2.3"}],'
            '"conditions":[{"type":"Ready","status":"True"}]}}')

    def endpoints():
        slices = kubectl.json("get", "endpointslices", "-n", namespace, "-l",
                              "kubernetes.io/service-name=s")["items"]
        return [(e["addresses"], e["conditions"]["ready"], s["ports"][0]["port"])
                for s in slices for e in s.get("endpoints") or []]

    wait_for(lambda: endpoints() == [(["10.1.2.3"], True, 8080)], what="the endpoint")
    kubectl("delete", "pod", "p", "-n", namespace, "--force", "--grace-period=0")
    wait_for(lambda: not endpoints(), what="the endpoint to go")


def test_headless_and_node_port(kubectl, namespace):
    create(kubectl, namespace, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "h"},
                                "spec": {"clusterIP": "None", "selector": {"a": "b"}}})
    create(kubectl, namespace, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "n"},
                                "spec": {"type": "NodePort", "ports": [{"port": 80}]}})
    got = kubectl.json("get", "svc", "n", "-n", namespace)["spec"]
    assert 30000 <= got["ports"][0]["nodePort"] <= 32767 and got["ports"][0]["targetPort"] == 80
    assert kubectl.json("get", "svc", "h", "-n", namespace)["spec"]["clusterIPs"] == ["None"]
