# SPDX-License-Identifier: Apache-2.0
"""The REST API of jobs: what it refuses, by status and text."""
import json
import re
import time
import urllib.error
import urllib.request

import ray

session = ray.init(num_cpus=2, include_dashboard=True, log_to_driver=False)
url = f"http://{session.dashboard_url}"


def ask(method, path, body=None, quiet=False, said=True):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, kind, text = answer.status, answer.headers.get_content_type(), answer.read().decode()
    except urllib.error.HTTPError as e:
        status, kind, text = e.code, e.headers.get_content_type(), e.read().decode()
    if quiet:
        return json.loads(text)
    if kind == "application/json":
        text = json.dumps({k: v for k, v in json.loads(text).items() if k != "logs"}, sort_keys=True)
    errors = re.findall(r"^\w+Error: (.*)", text, re.MULTILINE)  # the last one is what was wrong
    print(method, path, "" if body is None else body)
    print("   ", status, kind, (errors or [text.strip()])[-1] if said else "")
    return text


def wait(job):
    while ask("GET", f"/api/jobs/{job}", quiet=True)["status"] in ("PENDING", "RUNNING"):
        time.sleep(0.1)


print("=== begin")
for body in (
    {}, {"entrypoint": 5}, {"entrypoint": None},
    {"entrypoint": "true", "nonsense": 1},
    {"entrypoint": "true", "submission_id": 5},
    {"entrypoint": "true", "metadata": "a"},
    {"entrypoint": "true", "metadata": {"a": 1}},
    {"entrypoint": "true", "runtime_env": "a"},
    {"entrypoint": "true", "entrypoint_num_cpus": "a"},
    {"entrypoint": "true", "entrypoint_num_gpus": "a"},
    {"entrypoint": "true", "entrypoint_memory": "a"},
    {"entrypoint": "true", "entrypoint_memory": 1.5},
    {"entrypoint": "true", "entrypoint_resources": 5},
    {"entrypoint": "true", "entrypoint_resources": {"a": "b"}},
    {"entrypoint": "true", "entrypoint_label_selector": 5},
    {"entrypoint": "true", "entrypoint_label_selector": {"a": 5}},
):
    ask("POST", "/api/jobs/", body)
ask("POST", "/api/jobs/", {"entrypoint": "echo hello", "submission_id": "one"})
wait("one")
ask("POST", "/api/jobs/", {"entrypoint": "echo hello", "submission_id": "one"})
ask("POST", "/api/jobs/", {"entrypoint": "true", "job_id": "old"})
wait("old")
ask("POST", "/api/jobs/", {"entrypoint": "sleep 100", "submission_id": "long", "metadata": {"a": "b"}})
while ask("GET", "/api/jobs/long", quiet=True)["status"] == "PENDING":
    time.sleep(0.1)
ask("DELETE", "/api/jobs/long")
ask("POST", "/api/jobs/long/stop")
wait("long")
ask("POST", "/api/jobs/long/stop")
ask("POST", "/api/jobs/one/stop", b"{")
ask("GET", "/api/jobs/one/logs")
for method, path in (
    ("GET", "/api/jobs/unknown"), ("GET", "/api/jobs/unknown/logs"), ("POST", "/api/jobs/unknown/stop"),
    ("DELETE", "/api/jobs/unknown"), ("GET", "/api/jobs/unknown/logs/tail"), ("GET", "/api/jobs/one/nonsense"),
    ("PUT", "/api/jobs/one"), ("PUT", "/api/jobs/"), ("GET", "/api/jobs"), ("GET", "/api/nonsense"),
    ("GET", "/api/packages/gcs/nonsense"), ("GET", "/api/packages/gcs/_ray_pkg_0123456789abcdef.zip"),
):
    ask(method, path, said="unknown" in path or "packages" in path)
ask("DELETE", "/api/jobs/one")
ask("DELETE", "/api/jobs/one")
ask("GET", "/api/jobs/one")
for job in ("old", "long"):
    details = ask("GET", f"/api/jobs/{job}", quiet=True)
    details.update({k: details[k] or {} for k in ("metadata", "runtime_env")})
    fixed = {k: v for k, v in details.items() if not k.startswith(("start_", "end_", "driver_agent", "driver_node", "driver_info"))}
    print(json.dumps(fixed, sort_keys=True))
print(sorted(details))
print("=== end")
