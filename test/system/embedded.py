# SPDX-License-Identifier: Apache-2.0
"""`mobula run` in a run folder of its own, and everything that it has on this machine: processes,
links, mounts, network namespaces, cgroups. For the folders beside this file."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from head import BUILD, TOP, wait_until  # noqa: F401 (tests import them here)

MOBULA = BUILD / "bin" / "mobula"
EXAMPLE = (TOP / "examples" / "rayjob-counter.yaml").read_text()
ENTRYPOINT = "entrypoint: python /home/ray/samples/sample_code.py"
PROC = pathlib.Path("/proc")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="pods need root here")
needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl here")


def said(done):
    return done.stdout + done.stderr


def replaced(text, old, new):
    assert old in text, old
    return text.replace(old, new)


def rayjob_of(manifest):
    """The RayJob alone, for a cluster that has the ConfigMap already."""
    return manifest.split("\n---\n", 1)[1]


def without_environment(manifest):
    """Without the packages, which come from a registry."""
    lines = [line for line in manifest.splitlines()
             if not any(word in line for word in ("pip:", "requests==", "pendulum", "import requests",
                                                  "requests.__"))]
    return "\n".join(lines) + "\n"


def read(path):
    """An entry of /proc; empty once its process is gone."""
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return b""


def pids():
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def command(pid):
    return read(PROC / str(pid) / "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def network_of(pid):
    try:
        return os.readlink(PROC / str(pid) / "ns" / "net")
    except OSError:
        return None


def tag_of(state):
    """How the agent names what it makes for a state folder (FNV-1a)."""
    value = 2166136261
    for byte in str(state).encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return f"{value:08x}"


class Embedded:
    """One run folder, and what belongs to it."""

    def __init__(self, home, cache, **environment):
        self.dir = pathlib.Path(home) / "run"
        self.state = self.dir / "node-agent"
        self.tag = tag_of(self.state)
        self.kubeconfig = self.dir / "apiserver" / "kubeconfig"
        self.networks, self.links = set(), set()  # that were ever seen
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith("RAY_") and name != "KUBECONFIG"}
        self.env.update(MOBULA_RUN_DIR=str(self.dir), MOBULA_CACHE_DIR=str(cache), **environment)

    def mobula(self, *words, text=None, env=None, timeout=120):
        return subprocess.run([MOBULA, *words], input=text, capture_output=True, text=True,
                              env=dict(self.env, **(env or {})), timeout=timeout)

    def start(self, *words, output, errors=None):
        """Standard output goes to the file `output`, and so do errors unless they have their own."""
        with open(output, "w") as out, open(errors or os.devnull, "w") as err:
            return subprocess.Popen([MOBULA, *words], stdin=subprocess.DEVNULL, stdout=out,
                                    stderr=err if errors else out, env=self.env)

    def run_json(self, text, **more):
        """Runs a manifest; how it ended, and the summary of its one RayJob."""
        done = self.mobula("run", "-o", "json", "-", text=text, **more)
        start = done.stdout.find('{\n    "rayJobs"')
        assert start >= 0, said(done)
        return done, json.loads(done.stdout[start:])["rayJobs"][0]

    def kubectl(self, *words, text=None, timeout=60, fails=False):
        done = subprocess.run(["kubectl", "--kubeconfig", self.kubeconfig, *words], input=text,
                              capture_output=True, text=True, env=self.env, timeout=timeout)
        assert fails or done.returncode == 0, said(done)
        return done.stdout

    def get(self, *words):
        return json.loads(self.kubectl("get", "-o", "json", *words))

    def processes(self):
        """Pids of what runs for the folder: its daemons, its pods' keepers and containers."""
        group, folder = f"/mobula-{self.tag}/".encode(), str(self.dir).encode()
        return [pid for pid in pids() if folder in read(PROC / str(pid) / "cmdline")
                or group in read(PROC / str(pid) / "cgroup")]

    def pod_processes(self):
        """Those with a network of their own."""
        host = network_of("self")
        return [pid for pid in self.processes() if network_of(pid) not in (None, host)]

    def of_another(self, pid):
        """Whether it runs for another folder: the kernel gives a network's number out again."""
        state = re.search(rb"--state\0([^\0]+)", read(PROC / str(pid) / "cmdline"))
        group = re.search(rb"/mobula-([0-9a-f]{8})/", read(PROC / str(pid) / "cgroup"))
        return (state is not None and state[1] != str(self.state).encode()
                or group is not None and group[1] != self.tag.encode())

    def look(self):
        """Remembers names that say nothing about their owner once it is gone."""
        self.networks |= {network_of(pid) for pid in self.pod_processes()} - {None}
        text = subprocess.run(["ip", "-o", "link", "show", "master", f"mb-{self.tag}"],
                              capture_output=True, text=True).stdout
        self.links |= set(re.findall(r"^\d+: ([^@:]+)", text, re.M))

    def pod_remains(self):
        """What pods have on this machine."""
        found = [f"process {pid}: {command(pid)}" for pid in self.pod_processes()]
        mine, nets = f"{self.state}/pods/", self.networks
        for pid in (pid for pid in pids() if not self.of_another(pid)):
            if network_of(pid) in nets:
                found.append(f"process {pid} in a pod's network: {command(pid)}")
            mounts = read(PROC / str(pid) / "mountinfo").decode(errors="replace")
            found += [f"mount seen by {pid}: {line}" for line in mounts.splitlines()
                      if mine in line or any(net in line for net in nets)]
        for pid in self.processes():
            found += [f"process {pid} holds {name}" for name in targets(pid) if name in nets]
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
        bridge = f"master mb-{self.tag}"
        found += [line for line in links.splitlines()
                  if bridge in line or any(f" {name}@" in line for name in self.links)]
        found += [str(path) for path in
                  pathlib.Path("/sys/fs/cgroup").glob(f"**/mobula-{self.tag}/pod*")]
        found += [str(path) for path in self.state.glob("pods/*")]
        return found

    def remains(self):
        """What anything of the folder has on this machine."""
        found = self.pod_remains()
        found += [f"process {pid}: {command(pid)}" for pid in self.processes()]
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
        found += [line for line in links.splitlines() if f"mb-{self.tag}" in line]
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
        found += [line for line in tables.splitlines() if f"mobula_{self.tag}" in line]
        found += [line for line in (PROC / "mounts").read_text().splitlines()
                  if str(self.dir) in line]
        found += [str(path) for path in
                  pathlib.Path("/sys/fs/cgroup").glob(f"**/mobula-{self.tag}")]
        return found

    def down(self):
        """Ends everything, and proves it."""
        self.look()
        done = self.mobula("down")
        found = self.remains()
        assert not found, "\n".join(found)
        return done


def targets(pid):
    """Where the descriptors of a process lead."""
    found = []
    try:
        for entry in os.scandir(PROC / str(pid) / "fd"):
            try:
                found.append(os.readlink(entry.path))
            except OSError:
                pass
    except OSError:
        pass
    return found
