# SPDX-License-Identifier: Apache-2.0
"""RayClusters and RayJobs as the tests make and read them."""
import json

from conftest import wait_for


def create(kubectl, namespace, kind, name, spec, **metadata):
    kubectl("create", "-n", namespace, "-f", "-", stdin={
        "apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": name, **metadata},
        "spec": spec})


def pods(kubectl, namespace, cluster, kind=None):
    selector = f"ray.io/cluster={cluster}" + (f",ray.io/node-type={kind}" if kind else "")
    found = kubectl.json("get", "pods", "-n", namespace, "-l", selector)["items"]
    return [p for p in found if "deletionTimestamp" not in p["metadata"]]


def get(kubectl, namespace, kind, name):
    return kubectl.json("get", kind, name, "-n", namespace).get("status", {})


def condition(status, name):
    return {c["type"]: c["status"] for c in status.get("conditions", [])}.get(name)


ENDS = {"Complete", "Failed", "ValidationFailed"}


def wait_state(kubectl, namespace, name, state, seconds=20):
    """The status once jobDeploymentStatus is `state`; a job that ended in another never gets there."""
    def reached():
        status = get(kubectl, namespace, "rayjob", name)
        now = status.get("jobDeploymentStatus")
        assert now == state or now not in ENDS, f"{name} ended: {json.dumps(status, indent=1)}"
        return now == state and status
    return wait_for(reached, seconds, f"{name} to be {state}")
