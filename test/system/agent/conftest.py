# SPDX-License-Identifier: Apache-2.0
"""Runs pods by `mobula node-agent --pod`, without an API server, and looks at what they leave."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from embedded import needs_kubectl, wait_until  # noqa: E402, F401 (tests import them here)

TOP = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("MOBULA_BUILD", TOP / "build")).resolve()
MOBULA = os.environ.get("MOBULA") or str(BUILD / "src" / "cmd" / "mobula")


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="node-agent: needs root to make a bridge"))


class Result:
    def __init__(self, text, code):
        self.text, self.code = text, code
        self.events = re.findall(r"^event (\S+) (\S+) (\S+) (\S+): (.*)$", text, re.M)
        self.statuses = {}
        for name, status in re.findall(r"^status (\S+) \S+ (\{.*\})$", text, re.M):
            self.statuses.setdefault(name.split("/")[1], []).append(json.loads(status))

    def log(self, pod, container="main"):
        match = re.search(
            rf"^--- log of {pod}/{container}\n(.*?)(?=^--- log|^status |^event |\Z)",
            self.text,
            re.M | re.S,
        )
        return match.group(1) if match else None

    def last(self, pod):
        return self.statuses[pod][-1]

    def phases(self, pod):
        seen = []
        for status in self.statuses[pod]:
            if not seen or seen[-1] != status["phase"]:
                seen.append(status["phase"])
        return seen

    def state(self, pod, index=0, kind="containerStatuses"):
        return self.last(pod)[kind][index]["state"]

    def reasons(self):
        return [event[3] for event in self.events]


class Agent:
    def __init__(self, folder):
        self.state = str(folder / "state")
        self.folder = folder
        self.processes = []
        self.options = []

    def command(self, *more):
        return [MOBULA, "node-agent", "--state", self.state,
                "--cache-dir", str(self.folder / "cache"),
                "--pod-cidr", "10.177.0.0/24", "--service-cidr", "10.178.0.0/24", *self.options, *more]

    def write(self, *objects):
        path = self.folder / "pods.json"
        path.write_text(json.dumps({"kind": "List", "items": list(objects)}))
        return str(path)

    def run(self, *objects, timeout=60):
        done = subprocess.run(self.command("--pod", self.write(*objects)), text=True,
                              stdout=subprocess.PIPE, timeout=timeout)
        return Result(done.stdout, done.returncode)

    def start(self, *objects, keep=False):
        args = self.command("--pod", self.write(*objects), *(["--keep"] if keep else []))
        self.processes.append(subprocess.Popen(args, text=True, stdout=subprocess.PIPE))
        return self.processes[-1]

    def purge(self):
        subprocess.run(self.command("--purge"), check=True, timeout=30)


def tag(state):
    """How the agent names what it makes for a state folder (FNV-1a)."""
    value = 2166136261
    for byte in state.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return f"{value:08x}"


def leftovers(state):
    """What an ended agent must not leave: links, rules, mounts, cgroups, processes."""
    found = []
    links = subprocess.run(["ip", "-o", "link"], text=True, stdout=subprocess.PIPE).stdout
    found += re.findall(r"\d+: (mp0ab1\w+|mb-" + tag(state) + ")", links)
    tables = subprocess.run(["nft", "list", "tables"], text=True, stdout=subprocess.PIPE).stdout
    found += re.findall("mobula_" + tag(state), tables)
    found += [line for line in pathlib.Path("/proc/mounts").read_text().splitlines()
              if state in line]
    found += [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob("*/mobula-" + tag(state))]
    for proc in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if state.encode() in (proc / "cmdline").read_bytes():
                found.append(f"process {proc.name}")
        except OSError:
            pass
    return found


@pytest.fixture
def agent(tmp_path):
    agent = Agent(tmp_path)
    yield agent
    for process in agent.processes:
        process.kill()
        process.wait()
    agent.purge()
    assert leftovers(agent.state) == []


def container(script, name="main", **more):
    return {"name": name, "image": "example/none:1", "command": ["sh", "-c", script], **more}


def pod(name, *containers, restart="Never", inits=(), **spec):
    return {
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"restartPolicy": restart, "containers": list(containers),
                 "initContainers": list(inits), **spec},
    }


def wait_line(process, pattern):
    """Reads the process's output up to a line that matches."""
    text = ""
    for line in process.stdout:
        text += line
        if re.search(pattern, line):
            return text
    raise AssertionError(f"no line matches {pattern}:\n{text}")


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    return process.communicate(timeout=15)[0]
