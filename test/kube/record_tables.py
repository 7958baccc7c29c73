#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a real kube-apiserver (through `kubectl proxy`) how it prints objects as a Table and writes
src/kobj/testdata/table.json:  test/kube/record_tables.py http://127.0.0.1:8001

The objects are below; each is created, gets its status, and is read as JSON and as a Table."""
import json
import pathlib
import sys
import urllib.error
import urllib.request

OUT = pathlib.Path(__file__).resolve().parents[2] / "src/kobj/testdata/table.json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
NS = "namespaces/default"


def ask(base, method, path, body=None, accept="application/json", content="application/json"):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data=data, method=method,
                                     headers={"Content-Type": content, "Accept": accept})
    try:
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        return json.loads(error.read())


def pod(name, status, **spec):
    spec.setdefault("containers", [{"name": "c", "image": "i"}])
    return ("v1", "Pod", f"/api/v1/{NS}/pods", {"metadata": {"name": name}, "spec": spec}, status)


def container(name="c", ready=False, restarts=0, **state):
    return {"name": name, "ready": ready, "restartCount": restarts, "image": "i", "imageID": "",
            "state": state}


RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
TWO = [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]
INIT = [{"name": "i", "image": "i"}, {"name": "j", "image": "i"}]


def waiting(reason):
    return {"waiting": {"reason": reason}}


def ended(code, reason="", signal=0):
    return {"terminated": {"exitCode": code, "reason": reason, "signal": signal}}


READY = {"type": "Ready", "status": "True"}
CASES = [
    pod("pending", {}),
    pod("unschedulable", {"conditions": [{"type": "PodScheduled", "status": "False",
                                          "reason": "Unschedulable"}]}),
    pod("gated", {"conditions": [{"type": "PodScheduled", "status": "False",
                                  "reason": "SchedulingGated"}]}),
    pod("creating", {"containerStatuses": [container(**waiting("ContainerCreating"))]}),
    pod("running", {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
                    "conditions": [READY], "containerStatuses": [container(ready=True, **RUNNING)]}),
    pod("half", {"phase": "Running", "containerStatuses": [
        container(ready=True, **RUNNING), container("d", **waiting("CrashLoopBackOff"), restarts=4)]},
        containers=TWO),
    pod("completed", {"phase": "Succeeded", "containerStatuses": [container(**ended(0, "Completed"))]}),
    pod("error", {"phase": "Failed", "containerStatuses": [container(**ended(1, "Error"))]}),
    pod("exitcode", {"phase": "Failed", "containerStatuses": [container(**ended(7))]}),
    pod("signal", {"phase": "Failed", "containerStatuses": [container(**ended(137, "", 9))]}),
    pod("oom", {"phase": "Running", "containerStatuses": [container(**ended(137, "OOMKilled"), restarts=1)]}),
    pod("evicted", {"phase": "Failed", "reason": "Evicted"}),
    pod("init", {"initContainerStatuses": [container("i", **RUNNING), container("j", **waiting("PodInitializing"))],
                 "containerStatuses": [container(**waiting("PodInitializing"))]}, initContainers=INIT),
    pod("init2", {"initContainerStatuses": [container("i", **ended(0, "Completed")), container("j", **RUNNING)]},
        initContainers=INIT),
    pod("initfail", {"initContainerStatuses": [container("i", **ended(3, "Error")), container("j")]},
        initContainers=INIT),
    pod("initexit", {"initContainerStatuses": [container("i", **ended(3)), container("j")]},
        initContainers=INIT),
    pod("initcrash", {"initContainerStatuses": [container("i", restarts=2, **waiting("CrashLoopBackOff")), container("j")]},
        initContainers=INIT),
    pod("mixed", {"phase": "Running", "conditions": [READY], "containerStatuses": [
        container(**ended(0, "Completed")), container("d", ready=True, **RUNNING)]}, containers=TWO),
    pod("notready", {"phase": "Running", "containerStatuses": [
        container(**ended(0, "Completed")), container("d", ready=True, **RUNNING)]}, containers=TWO),
    pod("gates", {"phase": "Running", "nominatedNodeName": "n9",
                  "conditions": [{"type": "g/a", "status": "True"}, {"type": "g/b", "status": "False"}]},
        readinessGates=[{"conditionType": "g/a"}, {"conditionType": "g/b"}], nodeName="n1"),
    pod("sidecar", {"phase": "Running", "initContainerStatuses": [dict(container("s", ready=True, **RUNNING), started=True)],
                    "containerStatuses": [container(ready=True, **RUNNING)]},
        initContainers=[{"name": "s", "image": "i", "restartPolicy": "Always"}]),
    ("v1", "Service", f"/api/v1/{NS}/services", {"metadata": {"name": "headless"}, "spec": {
        "clusterIP": "None", "selector": {"b": "2", "a": "1"},
        "ports": [{"port": 80, "name": "a"}, {"port": 53, "protocol": "UDP", "name": "b"}]}}, None),
    ("v1", "Service", f"/api/v1/{NS}/services", {"metadata": {"name": "nodeport"}, "spec": {
        "type": "NodePort", "clusterIP": "10.96.7.7", "externalIPs": ["1.2.3.4", "5.6.7.8"],
        "ports": [{"port": 80, "nodePort": 30080}]}}, None),
    ("v1", "Service", f"/api/v1/{NS}/services", {"metadata": {"name": "lb"}, "spec": {
        "type": "LoadBalancer", "clusterIP": "10.96.7.8", "ports": [{"port": 80, "nodePort": 30081}]}}, None),
    ("v1", "Service", f"/api/v1/{NS}/services", {"metadata": {"name": "external"}, "spec": {
        "type": "ExternalName", "externalName": "a.example"}}, None),
    ("v1", "Node", "/api/v1/nodes", {"metadata": {"name": "n1", "labels": {
        "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "x"}},
        "spec": {"unschedulable": True}}, {
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "10.1.1.1"}, {"type": "Hostname", "address": "n1"}],
        "nodeInfo": {"kubeletVersion": "v1.34.0", "osImage": "Debian 12", "kernelVersion": "6.1",
                     "containerRuntimeVersion": "x://1", "machineID": "", "systemUUID": "", "bootID": "",
                     "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64"}}),
    ("v1", "Node", "/api/v1/nodes", {"metadata": {"name": "n2"}}, {
        "conditions": [{"type": "Ready", "status": "Unknown"}]}),
    ("v1", "Node", "/api/v1/nodes", {"metadata": {"name": "n3"}}, None),
    ("v1", "ConfigMap", f"/api/v1/{NS}/configmaps", {"metadata": {"name": "cm"}, "data": {"a": "1", "b": "2"},
                                                     "binaryData": {"c": "aGk="}}, None),
    ("v1", "Secret", f"/api/v1/{NS}/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "1"}}, None),
    ("v1", "Namespace", "/api/v1/namespaces", {"metadata": {"name": "ns"}}, None),
    ("v1", "ServiceAccount", f"/api/v1/{NS}/serviceaccounts", {"metadata": {"name": "sa"}, "secrets": [{"name": "x"}]}, None),
    ("v1", "PersistentVolumeClaim", f"/api/v1/{NS}/persistentvolumeclaims", {"metadata": {"name": "pvc"}, "spec": {
        "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "storageClassName": "std", "volumeName": "vol",
        "resources": {"requests": {"storage": "1Gi"}}}}, {
        "phase": "Bound", "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}),
    ("v1", "PersistentVolumeClaim", f"/api/v1/{NS}/persistentvolumeclaims", {"metadata": {"name": "pvc2"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}, None),
    ("v1", "Event", f"/api/v1/{NS}/events", {"metadata": {"name": "ev"}, "type": "Warning", "reason": "R",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default", "fieldPath": "spec.containers{c}"},
        "message": " two\nlines ", "source": {"component": "kubelet", "host": "n1"}, "count": 3,
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-02T00:00:00Z"}, None),
    ("v1", "Event", f"/api/v1/{NS}/events", {"metadata": {"name": "ev2"}, "type": "Normal", "reason": "R",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "message": "m"}, None),
    ("events.k8s.io/v1", "Event", f"/apis/events.k8s.io/v1/{NS}/events", {"metadata": {"name": "ev3"},
        "type": "Normal", "reason": "R", "action": "A", "note": "hello", "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Job", "name": "j", "namespace": "default"},
        "reportingController": "ctl", "reportingInstance": "i1"}, None),
    ("batch/v1", "Job", f"/apis/batch/v1/{NS}/jobs", {"metadata": {"name": "j1"}, "spec": {"suspend": True, "template": {
        "spec": {"restartPolicy": "Never", "containers": TWO}}}}, None),
    ("batch/v1", "Job", f"/apis/batch/v1/{NS}/jobs", {"metadata": {"name": "j2"}, "spec": {"parallelism": 3, "template": {
        "spec": {"restartPolicy": "Never", "containers": TWO}}}}, {
        "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:05Z", "succeeded": 1,
        "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]}),
    ("coordination.k8s.io/v1", "Lease", f"/apis/coordination.k8s.io/v1/{NS}/leases", {"metadata": {"name": "l"},
        "spec": {"holderIdentity": "me"}}, None),
    ("discovery.k8s.io/v1", "EndpointSlice", f"/apis/discovery.k8s.io/v1/{NS}/endpointslices", {"metadata": {"name": "es"},
        "addressType": "IPv4", "endpoints": [{"addresses": [f"10.0.0.{i}"]} for i in range(1, 6)],
        "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}, {"port": 82, "name": "c"}, {"port": 83, "name": "d"}]}, None),
    ("discovery.k8s.io/v1", "EndpointSlice", f"/apis/discovery.k8s.io/v1/{NS}/endpointslices", {"metadata": {"name": "es2"},
        "addressType": "IPv4", "endpoints": [], "ports": []}, None),
    ("rbac.authorization.k8s.io/v1", "Role", f"/apis/rbac.authorization.k8s.io/v1/{NS}/roles", {"metadata": {"name": "r"}}, None),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", f"/apis/rbac.authorization.k8s.io/v1/{NS}/rolebindings", {
        "metadata": {"name": "rb"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"}, {"kind": "Group", "name": "g"},
                     {"kind": "ServiceAccount", "name": "s", "namespace": "d"}]}, None),
    ("kobj.test/v1", "Probe", f"/apis/kobj.test/v1/{NS}/probes", {"metadata": {"name": "p1"}, "spec": {
        "str": "s", "int": 5, "bool": True, "list": ["a", "b"], "num": 1.5, "date": "2026-01-01T00:00:00Z",
        "map": [{"name": "a", "value": "x"}, {"name": "b", "port": 81, "value": "y"}]}}, None),
    ("kobj.test/v1", "Probe", f"/apis/kobj.test/v1/{NS}/probes", {"metadata": {"name": "p2"}, "spec": {}}, None),
    ("kobj.test/v1", "Probe", f"/apis/kobj.test/v1/{NS}/probes", {"metadata": {"name": "p3"}, "spec": {
        "date": "2030-01-01T00:00:00Z", "int": 0, "str": ""}}, None),
]


def main():
    base, cases = sys.argv[1], []
    crd = json.loads((OUT.parent / "schema.json").read_text())["setup"][0]
    ask(base, crd[0], crd[1], crd[2])
    __import__("time").sleep(2)
    for version, kind, path, body, status in CASES:
        body = {"apiVersion": version, "kind": kind} | body
        name = body["metadata"]["name"]
        made = ask(base, "POST", path, body)
        if made.get("kind") == "Status":
            sys.exit(f"{name}: {made['message']}")
        if status is not None:
            ask(base, "PATCH", f"{path}/{name}/status", {"status": status},
                content="application/merge-patch+json")
        got = ask(base, "GET", f"{path}/{name}")
        table = ask(base, "GET", f"{path}/{name}", accept=TABLE)
        got["metadata"].pop("managedFields", None)
        cases.append({"name": f"{kind} {name}", "object": got, "columns": table["columnDefinitions"],
                      "cells": table["rows"][0]["cells"]})
        ask(base, "DELETE", f"{path}/{name}?gracePeriodSeconds=0&propagationPolicy=Background")
    for case in cases:
        for column in case["columns"]:
            if not case["name"].startswith("Probe"):
                column.pop("description")
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    OUT.write_text(f'{{"cases":[\n{lines}\n]}}\n')
    print(f"{OUT.name}: {len(cases)} cases")


if __name__ == "__main__":
    main()
