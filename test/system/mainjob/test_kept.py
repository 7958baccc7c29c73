# SPDX-License-Identifier: Apache-2.0
"""A cluster that stays, seen by kubectl: a long job, its end by hand, a suspended one."""
import time

import pytest

from embedded import (ENTRYPOINT, EXAMPLE, command, needs_kubectl, needs_root, rayjob_of, replaced,
                      wait_until, without_environment)

pytestmark = [needs_root, needs_kubectl]

PLAIN = without_environment(EXAMPLE)
GRACE = 30  # what pods have that say nothing


def pods_of(cluster, job):
    """The pods of a RayJob: its cluster's and its submitter's."""
    name = cluster.get("rayjob", "-n", "video", job)["status"].get("rayClusterName")
    return [pod for pod in cluster.get("pod", "-n", "video")["items"]
            if pod["metadata"]["labels"].get("ray.io/cluster") == name
            or pod["metadata"]["labels"].get("job-name") == job]


def running(cluster, job):
    return [pod for pod in pods_of(cluster, job) if pod["status"]["phase"] == "Running"]


def create(cluster, text):
    return cluster.kubectl("create", "-f", "-", "-o", "name", text=text).strip().split("/")[1]


def status(cluster, job, field="jobDeploymentStatus"):
    return cluster.get("rayjob", "-n", "video", job).get("status", {}).get(field)


def columns(text, row):
    """The header's words, and a row's cells below them."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if row in line)
    header = next(line for line in reversed(lines[:at]) if line.startswith("NAMESPACE"))
    titles = [title for title in header.split("  ") if title.strip()]
    return [title.strip() for title in titles], lines[at].split()


@pytest.fixture(scope="module")
def sleeper(kept):
    """A job that sleeps, all of its pods running."""
    job = create(kept, rayjob_of(replaced(PLAIN, ENTRYPOINT, "entrypoint: sleep 300")))
    wait_until(lambda: len(running(kept, job)) == 4, "4 pods to run", 60)
    wait_until(lambda: status(kept, job, "jobStatus") == "RUNNING", "the job to run", 30)
    kept.look()
    assert len(kept.networks) >= 4 and len(kept.links) >= 4
    return job


def test_kubectl_prints_the_columns(kept, sleeper):
    text = kept.kubectl("get", "raycluster,rayjob,pod", "-A")
    titles, cells = columns(text, f"rayjob.ray.io/{sleeper} ")
    assert titles == ["NAMESPACE", "NAME", "JOB STATUS", "DEPLOYMENT STATUS", "RAY CLUSTER NAME",
                      "START TIME", "END TIME", "AGE"]
    cluster = status(kept, sleeper, "rayClusterName")
    assert cells[2:5] == ["RUNNING", "Running", cluster]
    titles, cells = columns(text, f"raycluster.ray.io/{cluster} ")
    assert titles == ["NAMESPACE", "NAME", "DESIRED WORKERS", "AVAILABLE WORKERS", "CPUS", "MEMORY",
                      "GPUS", "STATUS", "AGE"]
    assert cells[2:8] == ["2", "2", "12", "12G", "0", "ready"]
    titles, cells = columns(text, f"pod/{cluster}-head-")
    assert titles == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert cells[2:5] == ["1/1", "Running", "0"]


def test_logs_describe_and_exec(kept, sleeper):
    head = next(pod["metadata"]["name"] for pod in pods_of(kept, sleeper)
                if pod["metadata"]["labels"].get("ray.io/node-type") == "head")
    assert "Ray runtime started." in kept.kubectl("logs", "-n", "video", head)
    submitter = kept.kubectl("logs", "-n", "video", f"job/{sleeper}")
    assert "submitted successfully" in submitter
    text = kept.kubectl("describe", "rayjob", "-n", "video", sleeper)
    assert "Job Deployment Status:" in text and "CreatedRayCluster" in text
    assert "recorded and not pulled" in kept.kubectl("describe", "pod", "-n", "video", head)
    text = kept.kubectl("exec", "-n", "video", head, "--", "ray", "status")
    assert "0.0/8.0 CPU" in text and "2 small-group" in text
    assert kept.kubectl("exec", "-n", "video", head, "--", "hostname").strip() == head


def test_a_deleted_job_leaves_nothing(kept, sleeper):
    assert any("sleep 300" in command(pid) for pid in kept.pod_processes())
    wait_until(lambda: len(pods_of(kept, sleeper)) == 4 and
               len(kept.get("pod", "-n", "video")["items"]) <= 5, "the first job's cluster to go", 30)
    for job in kept.get("rayjob", "-n", "video")["items"]:
        kept.kubectl("delete", "rayjob", "-n", "video", job["metadata"]["name"], "--wait=false")
    begun = time.monotonic()
    wait_until(lambda: kept.get("pod", "-A")["items"] == [], "the pods to go", GRACE + 2)
    try:
        wait_until(lambda: kept.pod_remains() == [], "all of the pods to go",
                   max(0.1, GRACE + 2 - (time.monotonic() - begun)))
    except AssertionError as e:
        raise AssertionError("\n".join([str(e), *kept.pod_remains()])) from None
    assert kept.get("rayjob,raycluster,job,service", "-n", "video")["items"] == []
    print(f"gone after {time.monotonic() - begun:.1f} s")


def test_a_suspended_job_waits(kept):
    job = create(kept, rayjob_of(replaced(PLAIN, "suspend: false", "suspend: true")))
    wait_until(lambda: status(kept, job) == "Suspended", "the job to be suspended", 10)
    assert kept.get("pod,raycluster", "-n", "video")["items"] == []
    titles, cells = columns(kept.kubectl("get", "rayjob", "-A"), f" {job} ")
    assert "Suspended" in cells
    kept.kubectl("patch", "rayjob", "-n", "video", job, "--type=merge",
                 "-p", '{"spec": {"suspend": false}}')
    wait_until(lambda: status(kept, job) == "Complete", "the job to complete", 60)
    assert status(kept, job, "jobStatus") == "SUCCEEDED"
    assert "test_counter got 2" in kept.kubectl("logs", "-n", "video", f"job/{job}")
