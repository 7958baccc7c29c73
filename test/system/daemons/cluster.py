# SPDX-License-Identifier: Apache-2.0
"""gcs and raylets as real processes, for tests: each says on its ready-fd that it serves."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
import time

BUILD = pathlib.Path(os.environ.get("MOBULA_BUILD", "build")).resolve()
MOBULA = BUILD / "bin" / "mobula"
TIMEOUT = 60


def _ip():
    """This machine's address as `ray` sees it: ray.init() puts it in place of the loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("8.8.8.8", 80))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"


IP = _ip()


class Daemon:
    def __init__(self, log, *words):
        ours, theirs = os.pipe()
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                [MOBULA, *map(str, words), "--ready-fd", str(theirs)],
                pass_fds=[theirs], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=environment())
        os.close(theirs)
        with os.fdopen(ours) as ready:
            line = ready.readline()
        assert line, f"{words[0]} said nothing: {self.text()}"
        self.facts = json.loads(line)
        assert "error" not in self.facts, self.facts["error"]
        self.pid = self.process.pid

    def text(self):
        return pathlib.Path(self.log).read_text()

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)


def environment(**more):
    env = dict(os.environ, RAY_AUTH_MODE="disabled", RAY_COLOR_PREFIX="0", **more)
    env["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(BUILD / "python"), env.get("PYTHONPATH")]))
    return env


class Cluster:
    """One head, more nodes on request; all on one address, each node with a folder of its own."""

    def __init__(self, folder, cpus=2, store=False):
        self.folder, self.store = folder, folder / "gcs.db" if store else None
        self.name = f"session_2026-01-01_00-00-00_000000_{os.getpid()}"
        self.listen = f"{IP}:0"
        self.nodes = []
        self.start_gcs()
        self.head = self.add_node(cpus, "--head")

    def start_gcs(self):
        words = ["--store", self.store] if self.store else []
        self.gcs = Daemon(self.folder / "gcs.log", "gcs", "--listen", self.listen, "--temp-dir",
                          self.folder / "n0" / "ray", "--session-name", self.name, "--node-ip", IP, *words)
        self.listen = self.address = self.gcs.facts["address"]

    def gcs_for(self, number):
        """Where that node reaches gcs."""
        return self.address

    def add_node(self, cpus=2, *words, **resources):
        number = len(self.nodes)
        node = Daemon(self.folder / f"raylet{number}.log", "raylet", "--gcs-address",
                      self.gcs_for(number), "--temp-dir", self.folder / f"n{number}" / "ray",
                      "--node-ip", IP, "--python", sys.executable, "--resources",
                      json.dumps({"CPU": cpus, **resources}), *words)
        self.nodes.append(node)
        return node

    def driver(self, script, *words, node=None, **env):
        """Starts a script that has `ray` initialised; its output can be read while it runs."""
        node = node or self.head
        code = "import os, signal, sys, time, ray\nray.init({!r}, logging_level='error')\n"
        code = code.format(self.address) + textwrap.dedent(script)
        temp = pathlib.Path(node.facts["session_dir"]).parent.parent
        return subprocess.Popen([sys.executable, "-u", "-c", code, *words], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT,
                                env=environment(RAY_TMPDIR=str(temp), **env))

    def run(self, script, *words, **more):
        """Runs a script to its end; gives what it printed."""
        driver = self.driver(script, *words, **more)
        out, _ = driver.communicate(timeout=TIMEOUT)
        assert driver.returncode == 0, out
        return out

    def stop(self):
        for daemon in [*self.nodes, self.gcs]:
            if daemon.process.poll() is None:
                daemon.kill(signal.SIGTERM)


def children(pid):
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found.append(int(stat.parent.name))
    return found


def workers(node):
    """The processes forked by the node's zygotes."""
    return [worker for zygote in children(node.pid) for worker in children(zygote)]


def eventually(condition, seconds=20):
    """Waits for a fact that nothing announces to a test; fails loudly when it does not come."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)
    return value
