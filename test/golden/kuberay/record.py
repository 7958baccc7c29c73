#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns what KubeRay did in a cluster into the golden files beside this script.

    record.py AUDIT_LOG NAMESPACE [INPUT.json ...] > OUT.json

AUDIT_LOG is the API server's audit log (policy level Request for creates), so objects are as KubeRay
sent them, before any default. INPUT.json is `kubectl get raycluster,rayjob -o json`. See README.md.
"""
import json
import re
import sys

VOLATILE = ("managedFields", "resourceVersion", "creationTimestamp", "generation")


def lean(value, key=""):
    """Drops what Go's marshalling adds: nulls and empty structs (an emptyDir means something)."""
    if isinstance(value, dict):
        out = {k: lean(v, k) for k, v in value.items() if k not in VOLATILE}
        return {
            k: v
            for k, v in out.items()
            if v is not None and (v != {} or k in ("emptyDir", "rayStartParams")) and v != []
        }
    if isinstance(value, list):
        return [lean(v) for v in value]
    return value


def owner(obj):
    for ref in obj["metadata"].get("ownerReferences", []):
        return ref["kind"] + "/" + ref["name"]
    return None


def sent(audit, namespace):
    for line in open(audit, encoding="utf-8"):
        entry = json.loads(line)
        ref = entry.get("objectRef", {})
        if (
            entry["verb"] == "create"
            and entry.get("userAgent", "").startswith("kuberay")
            and ref.get("namespace") == namespace
            and not ref.get("subresource")
        ):
            yield ref["resource"], entry["requestObject"]


def inputs(paths):
    found = {}
    for path in paths:
        for obj in json.load(open(path, encoding="utf-8"))["items"]:
            if obj["kind"] in ("RayCluster", "RayJob"):
                status = obj.pop("status", None)
                last = obj["metadata"].get("annotations", {})
                last.pop("kubectl.kubernetes.io/last-applied-configuration", None)
                obj["metadata"].pop("finalizers", None)
                found[obj["kind"] + "/" + obj["metadata"]["name"]] = {
                    "input": lean(obj),
                    "status": lean(status),
                    "objects": [],
                    "events": [],
                }
    return found


def slot(resource, obj):
    """Equal pods of a group are recorded once."""
    labels = obj["metadata"].get("labels", {})
    index = labels.get("ray.io/worker-group-replica-index")
    host = labels.get("ray.io/replica-host-index")
    return (resource, labels.get("ray.io/group"), index, host, obj["metadata"].get("name"))


def main():
    audit, namespace, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
    cases = inputs(paths)
    seen = set()
    for resource, obj in sent(audit, namespace):
        if resource == "events":
            if "regarding" not in obj:  # the leader election's own, by the core group
                continue
            key = obj["regarding"]["kind"] + "/" + obj["regarding"]["name"]
            event = [obj["type"], obj["reason"], obj["action"], obj["note"]]
            if key in cases and event not in cases[key]["events"]:
                cases[key]["events"].append(event)
            continue
        key = owner(obj)
        if key not in cases or (key, slot(resource, obj)) in seen:
            continue
        seen.add((key, slot(resource, obj)))
        if resource == "secrets":
            obj["stringData"] = {k: "*" for k in obj.get("stringData", {})} or None
            obj["data"] = {k: "*" for k in obj.get("data") or {}} or None
        cases[key]["objects"].append({"resource": resource, "object": lean(obj)})
    text = json.dumps(cases, indent=1, sort_keys=True, ensure_ascii=False)
    print(re.sub(r"[ \t]+$", "", text, flags=re.M))


if __name__ == "__main__":
    main()
