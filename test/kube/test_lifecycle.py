# SPDX-License-Identifier: Apache-2.0
"""RayClusters and RayJobs whose pods run. RAY_IMAGE names the image on a cluster with a node of its
own; on the embedded server, which pulls none, a node agent of this machine runs the pods."""
import json
import os
import signal
import subprocess

import pytest
from conftest import BUILD, Embedded, Kubectl, wait_for
from objects import condition, create, get, pods, wait_state

pytestmark = pytest.mark.node

IMAGE = os.environ.get("RAY_IMAGE", "local/ray:test")
LIMIT = 240  # of a step, in seconds; the peer's image needs most of it on a small machine

SCRIPT = """
import os, sys, time
import ray

ray.init()

@ray.remote
class Counter:
    def __init__(self):
        self.name, self.value = os.environ["counter_name"], 0

    def inc(self):
        self.value += 1
        return self.value

counter = Counter.remote()
for _ in range(2):
    value = ray.get(counter.inc.remote())
print(ray.get(ray.remote(lambda: os.environ["counter_name"]).remote()), "got", value)
time.sleep(float(sys.argv[1]))
sys.exit(int(sys.argv[2]))
"""


class Agent:
    """`mobula node-agent` for the embedded server."""

    def __init__(self, server):
        self.state = server.state.parent / "node"
        self.log = server.state.parent / "node.log"
        self.process = subprocess.Popen(
            [BUILD / "bin/mobula", "node-agent", "--state", self.state,
             "--kubeconfig", server.kubeconfig, "--token-file", server.state / "agent.token",
             "--nodes", "1x4cpu,8Gi", "--bin-dir", BUILD / "bin",
             "--env", f"PYTHONPATH={BUILD}/python"],
            stdout=subprocess.DEVNULL, stderr=open(self.log, "ab"))

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        subprocess.run([BUILD / "bin/mobula", "node-agent", "--state", self.state, "--purge"],
                       check=True, timeout=60, capture_output=True)


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory):
    given = os.environ.get("KUBECONFIG")
    if given:
        yield given
        return
    if os.geteuid() != 0:
        pytest.skip("pods need root here")
    server = Embedded(tmp_path_factory.mktemp("nodes") / "state")
    server.state.mkdir()
    server.start()
    agent = Agent(server)
    try:
        wait_for(lambda: "True" in Kubectl(server.kubeconfig)(
            "get", "nodes", "-o", 'jsonpath={..conditions[?(@.type=="Ready")].status}'),
            what="the node")
        yield str(server.kubeconfig)
    finally:
        agent.stop()
        assert server.stop() == 0


@pytest.fixture(scope="module")
def kubectl(kubeconfig):
    return Kubectl(kubeconfig)


@pytest.fixture(scope="module")
def has_node(kubectl):
    ready = kubectl("get", "nodes", "-o", 'jsonpath={..conditions[?(@.type=="Ready")].status}')
    pretended = kubectl("get", "nodes", "-l", "type=kwok", "-o", "name")
    return "True" in ready and not pretended


@pytest.fixture
def place(request, kubectl, namespace):
    """A namespace with the script, empty again when the next test needs the node's CPUs."""
    failed = request.session.testsfailed
    kubectl("create", "configmap", "code", "-n", namespace, f"--from-literal=script.py={SCRIPT}")
    yield namespace
    if request.session.testsfailed > failed:
        print(kubectl("get", "rayjobs,rayclusters,jobs,pods,svc,events", "-n", namespace))
        for pod in kubectl("get", "pods", "-n", namespace, "-o", "name").split():
            print(pod, kubectl.run("logs", pod, "-n", namespace, "--all-containers",
                                   "--tail=50", check=False).stdout)
    kubectl("delete", "rayjobs,rayclusters", "--all", "-n", namespace, "--wait=false")
    wait_empty(kubectl, namespace)


def wait_empty(kubectl, namespace):
    wait_for(lambda: not kubectl.json("get", "rayjobs,rayclusters,jobs,pods,svc", "-n",
                                      namespace)["items"], LIMIT, "everything to go")


def template(name, **more):
    return {"spec": {**more, "containers": [{
        "name": name, "image": IMAGE,
        "volumeMounts": [{"name": "code", "mountPath": "/home/ray/samples"}],
        "resources": {"requests": {"cpu": "200m"}, "limits": {"cpu": "1"}}}],
        "volumes": [{"name": "code", "configMap": {"name": "code"}}]}}


def cluster_spec():
    return {"rayVersion": "2.60.0",
            "headGroupSpec": {"rayStartParams": {}, "template": template("ray-head")},
            "workerGroupSpecs": [{"groupName": "small", "replicas": 1, "minReplicas": 1,
                                  "maxReplicas": 1, "rayStartParams": {},
                                  "template": template("ray-worker")}]}


def job_spec(seconds=0, code=0, **more):
    return {"entrypoint": f"python /home/ray/samples/script.py {seconds} {code}",
            "runtimeEnvYAML": "env_vars: {counter_name: test_counter}",
            "shutdownAfterJobFinishes": True, "rayClusterSpec": cluster_spec(),
            "submitterPodTemplate": template("submitter", restartPolicy="Never"), **more}


def wait_ready(kubectl, namespace, name):
    return wait_for(lambda: (s := get(kubectl, namespace, "raycluster", name)) and
                    s.get("state") == "ready" and s, LIMIT, f"{name} to be ready")


def wait_running(kubectl, namespace, name):
    return wait_for(lambda: (s := get(kubectl, namespace, "rayjob", name)) and
                    s.get("jobStatus") == "RUNNING" and s, LIMIT, f"{name} to run")


def head(kubectl, namespace, cluster):
    return pods(kubectl, namespace, cluster, "head")[0]["metadata"]["name"]


def test_cluster(kubectl, place, operator):
    create(kubectl, place, "RayCluster", "c", cluster_spec())
    status = wait_ready(kubectl, place, "c")
    assert status["readyWorkerReplicas"] == 1
    assert condition(status, "HeadPodReady") == condition(status, "RayClusterProvisioned") == "True"
    inside = kubectl("exec", "-n", place, head(kubectl, place, "c"), "-c", "ray-head", "--",
                     "ray", "status")
    assert "/2.0 CPU" in inside, inside
    kubectl("delete", "raycluster", "c", "-n", place)
    wait_empty(kubectl, place)


def test_job_completes(kubectl, place, operator):
    create(kubectl, place, "RayJob", "j", job_spec())
    status = wait_state(kubectl, place, "j", "Complete", LIMIT)
    assert status["jobStatus"] == "SUCCEEDED" and status["succeeded"] == 1
    wait_for(lambda: not kubectl.json("get", "rayclusters", "-n", place)["items"], LIMIT,
             "shutdownAfterJobFinishes")
    log = kubectl("logs", "-n", place, "-l", "job-name=j", "--tail=-1")
    assert "test_counter got 2" in log and "succeeded" in log


def test_job_fails(kubectl, place, operator):
    create(kubectl, place, "RayJob", "j", job_spec(code=3))
    status = wait_state(kubectl, place, "j", "Failed", LIMIT)
    assert status["jobStatus"] == "FAILED" and status["reason"] == "AppFailed"
    assert "exit code 3" in status["message"]


def test_running_job_is_suspended_and_resumed(kubectl, place, operator):
    create(kubectl, place, "RayJob", "j", job_spec(seconds=300))
    first = wait_running(kubectl, place, "j")["rayClusterName"]
    kubectl("patch", "rayjob", "j", "-n", place, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    wait_state(kubectl, place, "j", "Suspended", LIMIT)
    wait_for(lambda: not kubectl.json("get", "rayclusters,jobs,pods", "-n", place)["items"], LIMIT,
             "the pods to go")
    kubectl("patch", "rayjob", "j", "-n", place, "--type=merge", "-p",
            '{"spec":{"suspend":false}}')
    assert wait_running(kubectl, place, "j")["rayClusterName"] != first


def test_running_job_is_deleted(kubectl, place, operator):
    create(kubectl, place, "RayJob", "j", job_spec(seconds=300))
    wait_running(kubectl, place, "j")
    kubectl("delete", "rayjob", "j", "-n", place)
    wait_empty(kubectl, place)


def test_killed_worker_is_replaced(kubectl, place, operator):
    create(kubectl, place, "RayCluster", "c", cluster_spec())
    wait_ready(kubectl, place, "c")
    gone = pods(kubectl, place, "c", "worker")[0]["metadata"]["name"]
    kubectl("delete", "pod", gone, "-n", place, "--force", "--grace-period=0")
    wait_for(lambda: [p for p in pods(kubectl, place, "c", "worker")
                      if p["metadata"]["name"] != gone and
                      condition(p["status"], "Ready") == "True"], LIMIT, "another worker")
    wait_ready(kubectl, place, "c")


def names(found):
    return {p["metadata"]["name"] for p in found}


def workers_up(kubectl, namespace, count):
    """The cluster's workers once just so many are there and Ray counts the head and all of them."""
    def up():
        found = pods(kubectl, namespace, "c", "worker")
        return len(found) == count and all(
            condition(p["status"], "Ready") == "True" for p in found) and found
    found = wait_for(up, LIMIT, f"{count} workers") if count else wait_for(
        lambda: not pods(kubectl, namespace, "c", "worker") and [None], LIMIT, "no worker")
    inside = ["exec", "-n", namespace, head(kubectl, namespace, "c"), "-c", "ray-head", "--"]
    wait_for(lambda: f"/{count + 1}.0 CPU" in kubectl.run(*inside, "ray", "status",
                                                          check=False).stdout,
             LIMIT, "Ray to see them")
    return found


def change(kubectl, namespace, *changes):
    kubectl("patch", "raycluster", "c", "-n", namespace, "--type=json", "-p",
            json.dumps([{"op": "replace", "path": f"/spec/{path}", "value": value}
                        for path, value in changes]))


def test_replicas_change(kubectl, place, operator):
    spec = cluster_spec()
    spec["workerGroupSpecs"][0].update(minReplicas=0, maxReplicas=3)
    create(kubectl, place, "RayCluster", "c", spec)
    first = names(workers_up(kubectl, place, 1))
    old_head = head(kubectl, place, "c")
    change(kubectl, place, ("workerGroupSpecs/0/replicas", 3))
    more = names(workers_up(kubectl, place, 3))
    assert first < more
    change(kubectl, place, ("workerGroupSpecs/0/replicas", 1),
           ("workerGroupSpecs/0/scaleStrategy", {"workersToDelete": sorted(more - first)}))
    assert names(workers_up(kubectl, place, 1)) == first
    change(kubectl, place, ("workerGroupSpecs/0/replicas", 0))
    workers_up(kubectl, place, 0)
    assert head(kubectl, place, "c") == old_head
    assert wait_ready(kubectl, place, "c").get("desiredWorkerReplicas", 0) == 0


def test_changed_template(kubectl, place, operator):
    """Pods that run stay as they are, and those made later follow the new one; with Recreate all
    are made anew."""
    spec = cluster_spec()
    spec["workerGroupSpecs"][0].update(minReplicas=0, maxReplicas=2)
    create(kubectl, place, "RayCluster", "c", spec)
    workers_up(kubectl, place, 1)
    old = names(pods(kubectl, place, "c"))
    env = "workerGroupSpecs/0/template/spec/containers/0/env"
    change(kubectl, place, (env, [{"name": "CHANGED", "value": "one"}]),
           ("workerGroupSpecs/0/replicas", 2))
    new, = [worker for worker in workers_up(kubectl, place, 2)
            if worker["metadata"]["name"] not in old]
    assert {"name": "CHANGED", "value": "one"} in new["spec"]["containers"][0]["env"]
    assert old < names(pods(kubectl, place, "c"))
    before = names(pods(kubectl, place, "c"))
    # The head is older than the first change, so that this alone makes all pods anew already.
    change(kubectl, place, ("upgradeStrategy", {"type": "Recreate"}))
    change(kubectl, place, (env, [{"name": "CHANGED", "value": "two"}]))
    wait_for(lambda: [pod for pod in pods(kubectl, place, "c", "worker")
                      if {"name": "CHANGED", "value": "two"} in
                      pod["spec"]["containers"][0]["env"]], LIMIT, "the second change")
    workers_up(kubectl, place, 2)
    assert not names(pods(kubectl, place, "c")) & before


def test_workers_of_several_hosts(kubectl, place, operator):
    """One host lost is the replica lost: its workers come back together."""
    spec = cluster_spec()
    spec["workerGroupSpecs"][0]["numOfHosts"] = 2
    create(kubectl, place, "RayCluster", "c", spec)
    hosts = workers_up(kubectl, place, 2)
    labels = [p["metadata"]["labels"] for p in hosts]
    assert len({x["ray.io/worker-group-replica-name"] for x in labels}) == 1
    assert {x["ray.io/replica-host-index"] for x in labels} == {"0", "1"}
    assert kubectl.json("get", "svc", "c-headless", "-n", place)["spec"]["clusterIP"] == "None"
    kubectl("delete", "pod", hosts[0]["metadata"]["name"], "-n", place, "--force",
            "--grace-period=0")
    wait_for(lambda: not names(pods(kubectl, place, "c", "worker")) & names(hosts), LIMIT,
             "the other host to go")
    again = [p["metadata"]["labels"] for p in workers_up(kubectl, place, 2)]
    assert len({x["ray.io/worker-group-replica-name"] for x in again}) == 1


def test_the_older_version(kubectl, place, operator):
    kubectl("create", "-n", place, "-f", "-", stdin={
        "apiVersion": "ray.io/v1alpha1", "kind": "RayCluster", "metadata": {"name": "c"},
        "spec": cluster_spec()})
    workers_up(kubectl, place, 1)
    for version in ("v1", "v1alpha1"):
        cluster = kubectl.json("get", f"rayclusters.{version}.ray.io", "c", "-n", place)
        assert cluster["apiVersion"] == f"ray.io/{version}"
        assert cluster["status"]["state"] == "ready"


def test_what_another_controller_manages_is_left_alone(kubectl, place, operator):
    create(kubectl, place, "RayJob", "theirs",
           job_spec(managedBy="kueue.x-k8s.io/multikueue"))
    create(kubectl, place, "RayJob", "ours", job_spec(managedBy="ray.io/kuberay-operator"))
    wait_state(kubectl, place, "ours", "Complete", LIMIT)
    assert not get(kubectl, place, "rayjob", "theirs")
    refused = kubectl.run("patch", "rayjob", "theirs", "-n", place, "--type=merge", "-p",
                          '{"spec":{"managedBy":"ray.io/kuberay-operator"}}', check=False)
    assert refused.returncode and "the managedBy field is immutable" in refused.stderr


@pytest.mark.parametrize("moment", ["Initializing", "Running"])
def test_operator_is_killed(kubectl, place, operator, moment):
    create(kubectl, place, "RayJob", "j", job_spec(seconds=2))
    before = wait_state(kubectl, place, "j", moment, LIMIT)
    operator.stop(signal.SIGKILL)
    kubectl("delete", "lease", "ray-operator-leader", "-n", "default")  # else the next waits for it
    operator.start()
    after = wait_state(kubectl, place, "j", "Complete", LIMIT)
    assert after["jobId"] == before["jobId"] and after["jobStatus"] == "SUCCEEDED"
    assert after["rayClusterName"] == before["rayClusterName"]
    assert len(kubectl.json("get", "jobs", "-n", place)["items"]) == 1
