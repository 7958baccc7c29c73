# SPDX-License-Identifier: Apache-2.0
"""JobSubmissionClient against a server of this script: what it sends, and what it makes of answers."""
import asyncio
import base64
import hashlib
import http.server
import json
import os
import re
import tempfile
import threading

os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = "the-token-of-this-user-0123456789abcdef"
from _show import show
from ray.job_submission import (
    DriverInfo,
    JobDetails,
    JobErrorType,
    JobInfo,
    JobStatus,
    JobSubmissionClient,
    JobType,
)

JOB = {
    "type": "SUBMISSION", "job_id": "02000000", "submission_id": "a", "status": "FAILED", "entrypoint": "e",
    "driver_info": {"id": "02000000", "node_ip_address": "1.2.3.4", "pid": "5"}, "message": "m",
    "error_type": "JOB_ENTRYPOINT_COMMAND_ERROR", "start_time": 1, "end_time": 2, "metadata": {"k": "v"},
    "runtime_env": {}, "driver_agent_http_address": "http://1.2.3.4:5", "driver_node_id": "n", "driver_exit_code": 3,
}
VERSION = {"version": "4", "ray_version": "2.60.0", "ray_commit": "c", "session_name": "s"}
answers = {}  # (method, path) -> (status, body): instead of the usual one
packages = set()
said = []


def usual(method, path):
    table = {
        ("GET", "/api/version"): VERSION,
        ("POST", "/api/jobs/"): {"job_id": "a", "submission_id": "a"},
        ("GET", "/api/jobs/"): [JOB, {**JOB, "type": "DRIVER", "submission_id": None, "status": "RUNNING"}],
        ("GET", "/api/jobs/a"): JOB,
        ("GET", "/api/jobs/a/logs"): {"logs": "one\ntwo \u00e9\n"},
        ("POST", "/api/jobs/a/stop"): {"stopped": True},
        ("DELETE", "/api/jobs/a"): {"deleted": True},
    }
    if (method, path) in table:
        return 200, json.dumps(table[method, path])
    if path.startswith("/api/packages/"):
        known = path in packages or method == "PUT"
        packages.add(path)
        return (200, "") if known else (404, "no")
    return 404, f"Job {path.split('/')[3]} does not exist"


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = re.sub(r"_ray_pkg_[0-9a-f]+", "PACKAGE", self.path)
        if self.path != "/api/version":
            said.append(f"{self.command} {path}")
        for name in ("Authorization", "X-One", "Cookie"):
            if self.headers.get(name) and self.path == "/api/jobs/a":
                said.append(f"  {name}: {self.headers[name]}")
        if body[:1] == b"{":
            text = re.sub(r"_ray_pkg_[0-9a-f]+", "PACKAGE", json.dumps(json.loads(body), sort_keys=True))
            said.append("  " + text)
        elif body:
            said.append(f"  {body[:2]}")
        if self.path.endswith("/logs/tail"):
            return self.tail()
        status, text = answers.get((self.command, self.path)) or usual(self.command, self.path)
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if text[:1] in "{[" else "text/plain")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def tail(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        for text in ("one\n", "x" * 300, "y" * 70000, "\u00e9\n"):
            data = text.encode()
            if len(data) > 65535:
                length = b"\x7f" + len(data).to_bytes(8, "big")
            else:
                length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
            self.wfile.write(b"\x81" + length + data)
        self.wfile.write(b"\x89\x02hi")  # a ping
        pong = self.rfile.read(2 + 4 + 2)
        said.append(f"  pong {pong[0] == 0x8A} {bytes(a ^ b for a, b in zip(pong[6:], pong[2:6]))}")
        if "cut" not in self.path:
            self.wfile.write(b"\x88\x02\x03\xe8")
            self.rfile.read(1)  # the client closes too
        self.close_connection = True


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
URL = f"http://127.0.0.1:{server.server_port}"


def told():
    for line in said:
        print("   ", line)
    said.clear()


# ---- arguments, versions
for name, value in (
    ("address", 5), ("create_cluster_if_needed", 1), ("cookies", "a"), ("metadata", "a"), ("headers", ["a"]), ("verify", None),
):
    show(name, lambda: JobSubmissionClient(**{"address": URL, name: value}))
show("nobody", lambda: JobSubmissionClient("http://127.0.0.1:1"))
show("no path", lambda: JobSubmissionClient("https://127.0.0.1:1", verify="/no/such/path"))
show("no module", lambda: JobSubmissionClient("no_such_module://cluster"))
for answer in ((404, "no"), (200, json.dumps({**VERSION, "ray_version": "1.8.0"}))):
    answers["GET", "/api/version"] = answer
    show(f"version {answer[0]}", lambda: JobSubmissionClient(URL))
for answer in ((401, "who are you"), (403, "not you")):
    answers["GET", "/api/version"] = answer
    show(f"version {answer[0]}", lambda: JobSubmissionClient(URL))
del answers["GET", "/api/version"]
print(JobSubmissionClient(URL + "/").get_address() == URL, JobSubmissionClient(URL).get_version())
os.environ["RAY_ADDRESS"] = URL
print("RAY_ADDRESS", JobSubmissionClient("http://127.0.0.1:1").get_address() == URL)
os.environ["RAY_API_SERVER_ADDRESS"] = URL
os.environ["RAY_ADDRESS"] = "http://127.0.0.1:1"
print("RAY_API_SERVER_ADDRESS", JobSubmissionClient().get_address() == URL)
del os.environ["RAY_API_SERVER_ADDRESS"], os.environ["RAY_ADDRESS"]

# ---- headers
JobSubmissionClient(URL).get_job_info("a")
told()
JobSubmissionClient(URL, headers={"X-One": "1", "Authorization": "Bearer mine"}, cookies={"c": "d"}).get_job_info("a")
told()

# ---- calls
client = JobSubmissionClient(URL, metadata={"team": "x", "k": "client"})
info = client.get_job_info("a")
print(type(info).__name__, repr(info.status), info.type is JobType.SUBMISSION, info.driver_info.pid, info.driver_exit_code)
print(info)
print([(job.type.value, job.status.value, job.submission_id) for job in client.list_jobs()])
show("status", lambda: client.get_job_status("a"))
show("logs", lambda: client.get_job_logs("a"))
show("stop", lambda: client.stop_job("a"))
show("delete", lambda: client.delete_job("a"))
for name, function in (
    ("info", client.get_job_info), ("status", client.get_job_status), ("logs", client.get_job_logs),
    ("stop", client.stop_job), ("delete", client.delete_job),
):
    show(name + " of no job", lambda: function("nope"))
told()
show("submit", lambda: client.submit_job(entrypoint="python x.py"))
show("submit all", lambda: client.submit_job(
    entrypoint="e", submission_id="a", metadata={"k": "job", "own": "y"}, entrypoint_num_cpus=1.5, entrypoint_num_gpus=0,
    entrypoint_memory=100, entrypoint_resources={"seat": 1}, entrypoint_label_selector={"a": "b"},
    runtime_env={"env_vars": {"A": "1"}, "worker_process_setup_hook": "module.hook", "config": {"setup_timeout_seconds": 5}},
))
show("submit by its old name", lambda: client.submit_job(entrypoint="e", job_id="old"))
told()
answers["POST", "/api/jobs/"] = (500, "it is there")
show("refused", lambda: client.submit_job(entrypoint="e"))
del answers["POST", "/api/jobs/"]
said.clear()
for bad in (
    {"entrypoint": 1}, {"submission_id": 1}, {"metadata": {"a": 1}}, {"metadata": {1: "a"}}, {"entrypoint_num_cpus": "1"},
    {"entrypoint_num_gpus": "1"}, {"entrypoint_memory": 1.5}, {"entrypoint_resources": ["a"]},
    {"entrypoint_resources": {"a": "1"}}, {"entrypoint_label_selector": {"a": 1}}, {"runtime_env": {"env_vars": {"A": 1}}},
    {"runtime_env": {"working_dir": 5}}, {"runtime_env": {"working_dir": "/no/such/folder"}},
    {"runtime_env": {"py_modules": "a"}}, {"runtime_env": {"py_modules": [5]}},
    {"runtime_env": {"py_modules": ["/no/such/module"]}}, {"runtime_env": {"worker_process_setup_hook": print}},
    {"runtime_env": {"pip": ["a"], "conda": "b"}},
):
    show(f"submit {bad}", lambda: client.submit_job(**{"entrypoint": "true", **bad}))
told()

# ---- what is local is uploaded, once
with tempfile.TemporaryDirectory() as folder:
    for name in ("script.py", "left.out"):
        with open(os.path.join(folder, name), "w") as file:
            file.write("print(1)\n")
    os.mkdir(os.path.join(folder, "module"))
    with open(os.path.join(folder, "module", "__init__.py"), "w") as file:
        file.write("value = 5\n")
    for env in (
        {"working_dir": folder},
        {"working_dir": folder},
        {"working_dir": "gcs://_ray_pkg_0123456789abcdef.zip"},
        {"py_modules": [os.path.join(folder, "module")]},
    ):
        show("upload", lambda: client.submit_job(entrypoint="e", runtime_env=env))
    told()


# ---- a log that is followed
async def tail(job):
    texts = []
    try:
        async for text in client.tail_job_logs(job):
            texts.append(text if len(text) < 10 else (text[0], len(text)))
    except RuntimeError as e:
        return texts, str(e)
    return texts


print(asyncio.run(tail("a")))
told()
print(asyncio.run(tail("cut")))
told()

# ---- records
print([status.value for status in JobStatus], [str(status) for status in JobStatus if status.is_terminal()])
print(JobStatus("RUNNING") is JobStatus.RUNNING, f"{JobStatus.FAILED}", repr(JobStatus.FAILED), JobStatus.FAILED == "FAILED")
print([error.name for error in JobErrorType], list(JobType))
for status in JobStatus:
    print(JobInfo(status=status, entrypoint="e"))
waiting = JobInfo("PENDING", "e", entrypoint_num_cpus=1, runtime_env={"pip": ["a"]})
print(waiting.message)
print(sorted(waiting.to_json().items(), key=str))
print(JobInfo.from_json(waiting.to_json()) == waiting)
driver = DriverInfo(id="01000000", node_ip_address="1.2.3.4", pid="5")
details = JobDetails(type="SUBMISSION", status="RUNNING", entrypoint="e", driver_info=driver)
print(details)
print(repr(details))
print(details.model_dump())
print(details.model_dump_json())
print(details == JobDetails(**details.model_dump()), details.driver_info.pid, details.message)
