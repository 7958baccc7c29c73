#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a real kube-apiserver (through `kubectl proxy`) what it does with the cases of kobj's unit
tests and writes the answers beside them:  test/kube/record.py http://127.0.0.1:8001 [FILE...]

A file of src/kobj/testdata/ is {"setup": [request...], "cases": [{"name", "requests": [request...],
"answers": [...]}]}. A request is [method, path, body, content type]; an answer is {"code", "body"},
with what changes from run to run (uids, times, versions) taken out."""
import json
import pathlib
import sys
import time
import urllib.error
import urllib.request

DATA = pathlib.Path(__file__).resolve().parents[2] / "src/kobj/testdata"
VOLATILE = {"uid", "creationTimestamp", "resourceVersion", "selfLink"}


def ask(base, method, path, body=None, content="application/json"):
    data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    request = urllib.request.Request(base + path, data=data, method=method,
                                     headers={"Content-Type": content, "Accept": "application/json"})
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.load(reply), reply.headers.get_all("Warning") or []
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}"), error.headers.get_all("Warning") or []


def settle(body):
    meta = body.get("metadata", {})
    for key in VOLATILE:
        meta.pop(key, None)
    for entry in meta.get("managedFields", []):
        entry.pop("time", None)
    return body


def record(base, file):
    cases = json.loads(file.read_text())
    for method, path, body, *content in cases.get("setup", []):
        code, reply, _ = ask(base, method, path, body, *content)
        if code >= 400 and code != 409:
            sys.exit(f"{file.name}: setup {path}: {reply}")
    time.sleep(2 if cases.get("setup") else 0)
    for case in cases["cases"]:
        case["answers"] = []
        for request in case["requests"]:
            code, body, warnings = ask(base, *request)
            answer = {"code": code, "body": settle(body)}
            if warnings:
                answer["warnings"] = [text.split('"', 1)[1][:-1] for text in warnings]
            case["answers"].append(answer)
        for path in {r[1].split("?")[0] for r in case["requests"] if r[0] != "POST" and "dryRun" not in r[1]}:
            ask(base, "DELETE", path.removesuffix("/status"))
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases["cases"])
    setup = json.dumps(cases.get("setup", []), separators=(",", ":"))
    file.write_text(f'{{"setup":{setup},\n"cases":[\n{lines}\n]}}\n')
    print(f"{file.name}: {len(cases['cases'])} cases")


def main():
    base, *names = sys.argv[1:]
    every = [file for file in sorted(DATA.glob("*.json")) if file.name != "table.json"]
    for file in [pathlib.Path(name) for name in names] or every:
        record(base, file)


if __name__ == "__main__":
    main()
