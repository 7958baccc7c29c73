# SPDX-License-Identifier: Apache-2.0
"""A head of our own, for the tests here and in the folders beside this file."""
import contextlib
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MOBULA_BUILD", TOP / "build")).resolve()


def sanitized():
    """Whether the programs are built with a sanitizer: figures say nothing then."""
    options = json.loads((BUILD / "meson-info" / "intro-buildoptions.json").read_text())
    return any(o["name"] == "b_sanitize" and o["value"] not in ("none", []) for o in options)


def memory(pids):
    """kB that processes hold together, the pages they share counted once. Unlike PSS it does not
    shrink with what others on the machine share with them."""
    held, files = 0, {}
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
            words = line.split()
            if words[0] == "Rss:":
                rss = int(words[1])
            elif words[0] == "Anonymous:":
                held += int(words[1])
                files[mapping] = max(files.get(mapping, 0), rss - int(words[1]))
            elif not words[0].endswith(":"):
                mapping = (words[2], words[4], *words[5:])  # offset, inode, path
    return held + sum(files.values())


def _ports():
    """Numbers that the kernel gives to nobody by itself, and that are no default of Ray's or of
    Kubernetes' (node ports: 30000 to 32767)."""
    low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [p for p in (*range(20000, 30000), *range(61000, 65536)) if not low <= p <= high]
    assert ports, f"ip_local_port_range {low} to {high} leaves no port that a test could have"
    random.SystemRandom().shuffle(ports)  # whatever seed a test sets: others run at the same time
    return ports


_free_ports = _ports()  # those not given yet


def free_port():
    """A port for somebody who listens a little later: until then no outgoing connection can take it,
    as it could one that the kernel has chosen. No two are the same."""
    while True:
        port = _free_ports.pop()
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("0.0.0.0", port))
            return port


def wait_until(question, what, timeout=30):
    """Asks until the answer is true; the answer."""
    deadline = time.monotonic() + timeout
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.02)


class Cluster:
    """A head on loopback with a temp folder, home and ports of its own."""

    def __init__(self, home, **environment):
        self.home = pathlib.Path(home)
        self.port, self.web, self.agent = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.web}"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        self.env.update(
            RAY_TMPDIR=str(self.home),
            HOME=str(self.home),
            PATH=f"{BUILD}/bin:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
            PYTHONPATH=f"{BUILD}/python",
            MOBULA_CACHE_DIR=str(self.home / "cache"),
            **environment,
        )

    @property
    def session(self):
        return self.home / "ray" / "session_latest"

    def ray(self, *words, timeout=60, env=None, **more):
        return subprocess.run(["ray", *map(str, words)], capture_output=True, text=True,
                              timeout=timeout, env=dict(self.env, **(env or {})), **more)

    def start_words(self):
        return ["start", "--head", "--node-ip-address=127.0.0.1", f"--port={self.port}",
                f"--dashboard-port={self.web}", f"--dashboard-agent-listen-port={self.agent}",
                "--num-cpus=2", "--object-store-memory=80000000"]

    def start(self, *words):
        done = self.ray(*self.start_words(), *words)
        assert done.returncode == 0, done.stdout + done.stderr + self.logs()
        return done

    def stop(self):
        return self.ray("stop")

    def job(self, *words, **more):
        return self.ray("job", words[0], "--address", self.url, *words[1:], **more)

    def http(self, path, method="GET", data=None, headers=None):
        """Status and body (parsed when it is JSON)."""
        if isinstance(data, (dict, list)):
            data = json.dumps(data).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method,
                                         headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        try:
            return status, json.loads(body)
        except ValueError:
            return status, body.decode()

    def processes(self):
        """The pids of everything the session started."""
        mark, found = f"MOBULA_SESSION={self.home}".encode(), []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                pass
        return found

    def end_processes(self, signo):
        """Sends a signal to all of them; one may end with another before its turn."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signo)

    def pid_of(self, role):
        for pid in self.processes():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if len(words) > 1 and words[0] == b"mobula" and words[1] == role.encode():
                return pid
        return None

    def logs(self):
        text = ""
        for name in ("gcs_server.err", "raylet.err", "dashboard.err"):
            path = self.session / "logs" / name
            if path.exists():
                text += f"\n--- {name}\n" + path.read_text()[-2000:]
        return text
