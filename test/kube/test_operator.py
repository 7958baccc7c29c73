# SPDX-License-Identifier: Apache-2.0
"""RayClusters and RayJobs on an API server, with `mobula operator` beside it. No pod runs: the
tests say what became of each (so it is the same on every server, with nodes or without)."""
import http.server
import json
import random
import signal
import threading
import time

import pytest
from conftest import Operator, wait_for
from objects import condition, create, get, pods, wait_state


def template(name):
    return {"spec": {"nodeSelector": {"nowhere": "yes"}, "containers": [
        {"name": name, "image": "local/none:1", "resources": {"requests": {"cpu": "200m"}}}]}}


def cluster_spec(replicas=2):
    return {"rayVersion": "2.60.0",
            "headGroupSpec": {"rayStartParams": {}, "template": template("ray-head")},
            "workerGroupSpecs": [{"groupName": "small", "replicas": replicas, "minReplicas": 0,
                                  "maxReplicas": 9, "rayStartParams": {},
                                  "template": template("ray-worker")}]}


def set_status(kubectl, namespace, kind, name, status):
    kubectl("patch", kind, name, "-n", namespace, "--subresource=status", "--type=merge", "-p",
            json.dumps({"status": status}))


def set_ready(kubectl, namespace, pod):
    set_status(kubectl, namespace, "pod", pod["metadata"]["name"], {
        "phase": "Running", "podIP": "10.88.7.7",
        "conditions": [{"type": "Ready", "status": "True"}]})


def wait_pods(kubectl, namespace, cluster, count):
    return wait_for(lambda: (found := pods(kubectl, namespace, cluster)) and
                    len(found) == count and found, what=f"{count} pods of {cluster}")


def bring_up(kubectl, namespace, cluster, count):
    for pod in wait_pods(kubectl, namespace, cluster, count):
        set_ready(kubectl, namespace, pod)
    wait_for(lambda: get(kubectl, namespace, "raycluster", cluster).get("state") == "ready",
             what="ready")


def test_cluster(kubectl, namespace, operator):
    create(kubectl, namespace, "RayCluster", "c", cluster_spec())
    bring_up(kubectl, namespace, "c", 3)
    status = get(kubectl, namespace, "raycluster", "c")
    assert status["availableWorkerReplicas"] == status["readyWorkerReplicas"] == 2
    assert status["desiredCPU"] == "600m" and status["head"]["serviceName"] == "c-head-svc"
    assert status["head"]["podIP"] == "10.88.7.7" and status["endpoints"]["dashboard"] == "8265"
    assert condition(status, "RayClusterProvisioned") == condition(status, "HeadPodReady") == "True"
    service = kubectl.json("get", "svc", "c-head-svc", "-n", namespace)
    assert service["spec"]["clusterIP"] == "None"
    head = pods(kubectl, namespace, "c", "head")[0]
    assert head["metadata"]["name"].startswith("c-head-")
    assert head["metadata"]["generateName"] == "c-head-"
    events = kubectl("get", "events", "-n", namespace)
    assert "CreatedHeadPod" in events and "CreatedService" in events
    kubectl("delete", "raycluster", "c", "-n", namespace)
    wait_for(lambda: not kubectl.json("get", "pods,svc", "-n", namespace)["items"],
             what="the garbage collector")


def test_failed_pods_are_replaced(kubectl, namespace, operator):
    create(kubectl, namespace, "RayCluster", "c", cluster_spec())
    bring_up(kubectl, namespace, "c", 3)
    for kind in ("head", "worker"):
        gone = pods(kubectl, namespace, "c", kind)[0]["metadata"]["name"]
        set_status(kubectl, namespace, "pod", gone, {"phase": "Failed"})
        wait_for(lambda: gone not in [p["metadata"]["name"] for p in pods(kubectl, namespace, "c")]
                 and len(pods(kubectl, namespace, "c")) == 3, what=f"another {kind}")


def test_scaling_touches_own_pods_only(kubectl, namespace, operator):
    create(kubectl, namespace, "RayCluster", "c", cluster_spec(1))
    create(kubectl, namespace, "RayCluster", "other", cluster_spec(0))
    bring_up(kubectl, namespace, "c", 2)
    stranger = wait_pods(kubectl, namespace, "other", 1)[0]["metadata"]["name"]
    kubectl("patch", "raycluster", "c", "-n", namespace, "--type=json", "-p", json.dumps([
        {"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 3},
        {"op": "replace", "path": "/spec/workerGroupSpecs/0/scaleStrategy",
         "value": {"workersToDelete": [stranger]}}]))
    wait_pods(kubectl, namespace, "c", 4)
    assert [p["metadata"]["name"] for p in pods(kubectl, namespace, "other")] == [stranger]
    victim = pods(kubectl, namespace, "c", "worker")[0]["metadata"]["name"]
    kubectl("patch", "raycluster", "c", "-n", namespace, "--type=json", "-p", json.dumps([
        {"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 2},
        {"op": "replace", "path": "/spec/workerGroupSpecs/0/scaleStrategy",
         "value": {"workersToDelete": [victim]}}]))
    wait_pods(kubectl, namespace, "c", 3)
    assert victim not in [p["metadata"]["name"] for p in pods(kubectl, namespace, "c")]


def test_suspension(kubectl, namespace, operator):
    create(kubectl, namespace, "RayCluster", "c", cluster_spec())
    bring_up(kubectl, namespace, "c", 3)
    kubectl("patch", "raycluster", "c", "-n", namespace, "--type=merge", "-p",
            '{"spec":{"suspend":true}}')
    wait_for(lambda: get(kubectl, namespace, "raycluster", "c").get("state") == "suspended")
    assert not pods(kubectl, namespace, "c")
    status = get(kubectl, namespace, "raycluster", "c")
    assert condition(status, "RayClusterSuspended") == "True"
    assert condition(status, "RayClusterSuspending") == "False"
    kubectl("patch", "raycluster", "c", "-n", namespace, "--type=merge", "-p",
            '{"spec":{"suspend":false}}')
    bring_up(kubectl, namespace, "c", 3)


def job_spec(**more):
    return {"entrypoint": "python x.py", "shutdownAfterJobFinishes": True,
            "rayClusterSpec": cluster_spec(0), **more}


def test_job_is_suspended_and_resumed(kubectl, namespace, operator):
    create(kubectl, namespace, "RayJob", "j", job_spec(suspend=True))
    wait_state(kubectl, namespace, "j", "Suspended")
    assert not kubectl.json("get", "pods,rayclusters,jobs", "-n", namespace)["items"]
    kubectl("patch", "rayjob", "j", "-n", namespace, "--type=merge", "-p",
            '{"spec":{"suspend":false}}')
    status = wait_for(lambda: (s := get(kubectl, namespace, "rayjob", "j")) and
                      s.get("rayClusterName") and s)
    bring_up(kubectl, namespace, status["rayClusterName"], 1)
    status = wait_state(kubectl, namespace, "j", "Running")
    assert status["dashboardURL"].startswith(f"{status['rayClusterName']}-head-svc.{namespace}.svc")
    submitter = wait_for(lambda: kubectl.json("get", "jobs", "-n", namespace)["items"])[0]
    script = submitter["spec"]["template"]["spec"]["containers"][0]["args"][0]
    assert f"--submission-id {status['jobId']} -- python x.py" in script
    kubectl("patch", "rayjob", "j", "-n", namespace, "--type=merge", "-p",
            '{"spec":{"suspend":true}}')
    wait_state(kubectl, namespace, "j", "Suspended")
    wait_for(lambda: not kubectl.json("get", "rayclusters,jobs", "-n", namespace)["items"])


def test_job_of_an_unknown_cluster(kubectl, namespace, operator):
    create(kubectl, namespace, "RayJob", "j",
           {"entrypoint": "x", "clusterSelector": {"ray.io/cluster": "later"}})
    wait_for(lambda: "RayClusterNotFound" in kubectl("get", "events", "-n", namespace))
    create(kubectl, namespace, "RayCluster", "later", cluster_spec(0))
    bring_up(kubectl, namespace, "later", 1)
    wait_state(kubectl, namespace, "j", "Running")


def test_deadline(kubectl, namespace, operator):
    create(kubectl, namespace, "RayJob", "j", job_spec(activeDeadlineSeconds=2))
    status = wait_state(kubectl, namespace, "j", "Failed")
    assert status["reason"] == "DeadlineExceeded" and status["failed"] == 1
    assert "activeDeadlineSeconds" in status["message"]
    wait_for(lambda: not kubectl.json("get", "rayclusters", "-n", namespace)["items"],
             what="shutdownAfterJobFinishes")


def test_backoff_limit(kubectl, namespace, operator):
    create(kubectl, namespace, "RayJob", "j",
           job_spec(preRunningDeadlineSeconds=1, backoffLimit=1))
    status = wait_state(kubectl, namespace, "j", "Failed")
    assert status["reason"] == "PreRunningDeadlineExceeded" and status["failed"] == 2
    # Each try has a cluster of its own, whose events stay however soon the next try followed.
    def clusters():
        events = kubectl.json("get", "events", "-n", namespace, "--field-selector",
                              "reason=CreatedHeadPod")["items"]
        return {event["involvedObject"]["name"] for event in events}
    wait_for(lambda: len(clusters()) == 2, what="the clusters of two tries")
    def created():
        events = kubectl.json("get", "events", "-n", namespace, "--field-selector",
                              "reason=CreatedRayCluster")["items"]
        return {event["message"] for event in events if event["involvedObject"]["name"] == "j"}
    wait_for(lambda: len(created()) == 2, what="the RayJob's own events of both")


def test_invalid_job(kubectl, namespace, operator):
    create(kubectl, namespace, "RayJob", "j", job_spec(runtimeEnvYAML="a: [b"))
    status = wait_state(kubectl, namespace, "j", "ValidationFailed")
    assert status["message"].startswith("failed to unmarshal RuntimeEnvYAML: a: [b")
    wait_for(lambda: "InvalidRayJobSpec" in kubectl("get", "events", "-n", namespace))
    kubectl("patch", "rayjob", "j", "-n", namespace, "--type=merge", "-p",
            '{"spec":{"runtimeEnvYAML":"a: b"}}')
    wait_state(kubectl, namespace, "j", "Initializing")


def submitter_events(kubectl, namespace):
    return kubectl.json("get", "events", "-n", namespace, "--field-selector",
                        "reason=FailedToCreateRayJobSubmitter")["items"]


def test_what_stands_in_the_way_is_told(kubectl, namespace, operator):
    """To the user, in an event, and once."""
    spec = job_spec(metadata={"k": "v"})
    spec["rayClusterSpec"]["rayVersion"] = "2.5.0"
    create(kubectl, namespace, "RayJob", "j", spec)
    status = wait_for(lambda: (s := get(kubectl, namespace, "rayjob", "j")) and
                      s.get("rayClusterName") and s)
    bring_up(kubectl, namespace, status["rayClusterName"], 1)
    event, = wait_for(lambda: submitter_events(kubectl, namespace))
    assert event["type"] == "Warning" and "at least 2.6.0" in event["message"]
    kubectl("patch", "rayjob", "j", "-n", namespace, "--type=merge", "-p",
            '{"spec":{"metadata":null}}')
    wait_state(kubectl, namespace, "j", "Running")
    event, = submitter_events(kubectl, namespace)
    assert not event.get("series")


def test_a_submitter_of_somebody_else(kubectl, namespace, operator):
    kubectl("create", "job", "j", "-n", namespace, "--image=local/none:1")
    create(kubectl, namespace, "RayJob", "j", job_spec())
    status = wait_for(lambda: (s := get(kubectl, namespace, "rayjob", "j")) and
                      s.get("rayClusterName") and s)
    bring_up(kubectl, namespace, status["rayClusterName"], 1)
    event, = wait_for(lambda: submitter_events(kubectl, namespace))
    assert event["type"] == "Warning" and f"{namespace}/j" in event["message"]
    assert "already exists" in event["message"] or "is not this RayJob's" in event["message"]
    kubectl("delete", "job", "j", "-n", namespace)
    wait_state(kubectl, namespace, "j", "Running")


def test_group_names_are_unique(kubectl, namespace, operator):
    spec = cluster_spec()
    spec["workerGroupSpecs"] *= 2
    create(kubectl, namespace, "RayCluster", "c", spec)
    wait_for(lambda: "worker group names must be unique" in
             kubectl("get", "events", "-n", namespace))
    assert not pods(kubectl, namespace, "c")


class FakeHead:
    """The Jobs API of a Ray head, as far as the operator asks."""

    def __init__(self):
        head = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, code, value):
                body = json.dumps(value).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                job = head.jobs.get(self.path.split("/")[3])
                head.asked += 1
                self.answer(200, job) if job else self.answer(404, "no such job")

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "{}")
                if self.path.endswith("/stop"):
                    head.stopped.append(self.path.split("/")[3])
                    return self.answer(200, {"stopped": True})
                head.submissions.append(body)
                if head.refusals:
                    return self.answer(*head.refusals.pop(0))
                head.jobs[body["submission_id"]] = {"status": "PENDING", "message": "waits"}
                self.answer(200, {"job_id": body["submission_id"]})

            def log_message(self, *_):
                pass

        self.jobs, self.submissions, self.stopped, self.asked = {}, [], [], 0
        self.refusals = []  # (status, body) of the next submissions
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def head(has_node):
    if has_node:
        pytest.skip("the pretended head listens on this machine")
    fake = FakeHead()
    yield fake
    fake.server.shutdown()


def submit_by_http(kubectl, namespace, head, **more):
    spec = job_spec(submissionMode="HTTPMode", runtimeEnvYAML="env_vars: {a: b}",
                    entrypointNumCpus=0.5, metadata={"k": "v"}, **more)
    container = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    container["ports"] = [{"name": "dashboard", "containerPort": head.port}]
    create(kubectl, namespace, "RayJob", "j", spec)
    cluster = wait_for(lambda: get(kubectl, namespace, "rayjob", "j").get("rayClusterName"))
    pod = wait_pods(kubectl, namespace, cluster, 1)[0]
    set_status(kubectl, namespace, "pod", pod["metadata"]["name"], {
        "phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}]})
    return wait_for(lambda: head.submissions, what="the submission")[0]


@pytest.mark.embedded
def test_http_mode(kubectl, namespace, operator, head):
    sent = submit_by_http(kubectl, namespace, head)
    job_id = sent["submission_id"]
    assert sent == {"entrypoint": "python x.py", "submission_id": job_id,
                    "runtime_env": {"env_vars": {"a": "b"}}, "metadata": {"k": "v"},
                    "entrypoint_num_cpus": 0.5}
    for state in ("PENDING", "RUNNING"):
        head.jobs[job_id] = {"status": state, "message": f"is {state}", "start_time": 1700000000000}
        wait_for(lambda: get(kubectl, namespace, "rayjob", "j").get("jobStatus") == state)
    head.jobs[job_id] = {"status": "SUCCEEDED", "message": "done", "start_time": 1700000000000,
                         "end_time": 1700000005000}
    status = wait_state(kubectl, namespace, "j", "Complete")
    assert status["jobStatus"] == "SUCCEEDED" and status["succeeded"] == 1
    assert status["rayJobInfo"] == {"startTime": "2023-11-14T22:13:20Z",
                                    "endTime": "2023-11-14T22:13:25Z"}
    assert len(head.submissions) == 1
    wait_for(lambda: not kubectl.json("get", "rayclusters", "-n", namespace)["items"])
    asked = head.asked
    time.sleep(1)
    assert head.asked == asked, "an ended job is asked about"


@pytest.mark.embedded
def test_http_mode_failure_and_retry(kubectl, namespace, operator, head):
    job_id = submit_by_http(kubectl, namespace, head, backoffLimit=1)["submission_id"]
    head.jobs[job_id] = {"status": "FAILED", "message": "exit code 3"}
    status = wait_for(lambda: (s := get(kubectl, namespace, "rayjob", "j")) and
                      s.get("failed") == 1 and s.get("jobId") not in (None, job_id) and s)
    assert status["jobDeploymentStatus"] == "Initializing"


@pytest.mark.embedded
def test_http_mode_refused(kubectl, namespace, operator, head):
    """What the head says against a job is the RayJob's message, and it is not sent again."""
    head.refusals = [(400, "conda is not supported")] * 9
    submit_by_http(kubectl, namespace, head)
    status = wait_state(kubectl, namespace, "j", "Failed")
    assert status["reason"] == "SubmissionFailed"
    assert status["message"].startswith("The head refused the job: HTTP status 400")
    assert "conda is not supported" in status["message"]
    assert len(head.submissions) == 1
    wait_for(lambda: "FailedToSubmitRayJob" in kubectl("get", "events", "-n", namespace))


@pytest.mark.embedded
def test_http_mode_busy(kubectl, namespace, operator, head):
    """Other failures are told and tried again, not at once."""
    head.refusals = [(500, "not now")]
    submit_by_http(kubectl, namespace, head)
    wait_for(lambda: "not now" in kubectl("get", "events", "-n", namespace))
    job_id = wait_for(lambda: head.jobs and list(head.jobs))[0]
    head.jobs[job_id] = {"status": "SUCCEEDED"}
    status = wait_state(kubectl, namespace, "j", "Complete")
    assert "jobStatusCheckFailureStartTime" not in status
    assert len(head.submissions) == 2


@pytest.mark.embedded
def test_running_job_is_stopped_with_its_rayjob(kubectl, namespace, operator, head):
    job_id = submit_by_http(kubectl, namespace, head)["submission_id"]
    head.jobs[job_id] = {"status": "RUNNING"}
    wait_for(lambda: get(kubectl, namespace, "rayjob", "j").get("jobStatus") == "RUNNING")
    kubectl("delete", "rayjob", "j", "-n", namespace)
    assert head.stopped == [job_id]


@pytest.mark.embedded
def test_silent_head(kubectl, namespace, operator, head):
    """A head that goes away fails nothing by itself, and its return mends all."""
    job_id = submit_by_http(kubectl, namespace, head)["submission_id"]
    head.jobs[job_id] = {"status": "RUNNING"}
    wait_for(lambda: get(kubectl, namespace, "rayjob", "j").get("jobStatus") == "RUNNING")
    head.jobs[job_id] = {"nonsense": True}
    wait_for(lambda: "jobStatusCheckFailureStartTime" in get(kubectl, namespace, "rayjob", "j"))
    head.jobs[job_id] = {"status": "SUCCEEDED"}
    status = wait_state(kubectl, namespace, "j", "Complete")
    assert "jobStatusCheckFailureStartTime" not in status


def test_foreign_manager(kubectl, namespace, operator):
    create(kubectl, namespace, "RayCluster", "theirs",
           {**cluster_spec(), "managedBy": "kueue.x-k8s.io/multikueue"})
    create(kubectl, namespace, "RayCluster", "ours", cluster_spec(0))
    wait_pods(kubectl, namespace, "ours", 1)
    assert not pods(kubectl, namespace, "theirs")
    assert not get(kubectl, namespace, "raycluster", "theirs")


def test_deletion_while_the_job_runs(kubectl, namespace, operator):
    create(kubectl, namespace, "RayJob", "j", job_spec())
    status = wait_for(lambda: (s := get(kubectl, namespace, "rayjob", "j")) and
                      s.get("rayClusterName") and s)
    bring_up(kubectl, namespace, status["rayClusterName"], 1)
    wait_state(kubectl, namespace, "j", "Running")
    kubectl("delete", "rayjob", "j", "-n", namespace)
    wait_for(lambda: not kubectl.json("get", "rayclusters,pods,jobs,svc", "-n", namespace)["items"],
             seconds=60, what="everything to go")


def test_killed_at_any_moment(kubeconfig, kubectl, namespace, operator):
    """Kills and restarts; each time the next one finds the lease held by the dead."""
    names = [f"c{i}" for i in range(5)]
    for name in names:
        create(kubectl, namespace, "RayCluster", name, cluster_spec(3))
        time.sleep(random.uniform(0, 0.05))
        if name in names[::2]:
            operator.stop(signal.SIGKILL)
            kubectl("delete", "lease", "ray-operator-leader", "-n", "default")
            operator.start()
    for name in names:
        found = wait_pods(kubectl, namespace, name, 4)
        assert len([p for p in found if p["metadata"]["labels"]["ray.io/node-type"] == "head"]) == 1
        indexes = sorted(p["metadata"]["labels"]["ray.io/worker-group-replica-index"]
                         for p in found if p["metadata"]["labels"]["ray.io/node-type"] == "worker")
        assert indexes == ["0", "1", "2"]


def test_one_leads(kubeconfig, kubectl, namespace, operator, tmp_path):
    second = Operator(kubeconfig, tmp_path / "log")
    second.start()
    wait_for(lambda: "the leader is" in (tmp_path / "log").read_text())
    assert "leading as" not in (tmp_path / "log").read_text()
    operator.stop()
    wait_for(lambda: "leading as" in (tmp_path / "log").read_text(), what="the second to lead")
    create(kubectl, namespace, "RayCluster", "c", cluster_spec(0))
    wait_pods(kubectl, namespace, "c", 1)
    assert second.stop() == 0
    operator.start()
