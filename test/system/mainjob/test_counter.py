# SPDX-License-Identifier: Apache-2.0
"""The counter script, unchanged: 10,000 calls in order, and nothing of them afterwards."""
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

from embedded import command, pids, read, targets
from head import TOP, Cluster, wait_until

SCRIPT = TOP / "examples" / "my_script.py"
WANTED = [f"test_counter got {number}" for number in range(1, 10001)]


@pytest.fixture
def home():
    path = tempfile.mkdtemp(prefix="mobula-test-")
    yield path
    shutil.rmtree(path)


def counts(text):
    return [line for line in text.splitlines() if line.startswith("test_counter got")]


def kinds(cluster):
    """What every process of the session holds: its name without ids; where its descriptors lead
    and what is mapped of shared memory, each with how often."""
    found = []
    for pid in cluster.processes():
        held = [re.sub(r"[0-9a-f]{16,}|\d+", "N", name) for name in targets(pid)]
        maps = re.findall(r"(/memfd:\S+|/dev/shm/\S+)", read_maps(pid))
        found.append((command(pid), sorted(held), sorted(maps)))
    return sorted(found) + [f"unreaped child of {parent}" for parent in unreaped(cluster)]


def unreaped(cluster):
    """The parents, of the session, of ended processes."""
    ours, found = cluster.processes(), []
    for pid in pids():
        stat = read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
        if stat and stat[0] == b"Z" and int(stat[1]) in ours:
            found.append(command(int(stat[1])))
    return found


def read_maps(pid):
    return read(f"/proc/{pid}/maps").decode(errors="replace")


def is_warm(cluster):
    """Both workers that wait for a first job have connected."""
    held = targets(cluster.pid_of("raylet") or 0)
    return sum("doorbell" in name for name in held) == 2


def test_a_script_of_its_own(home):
    cluster = Cluster(home)
    done = subprocess.run([sys.executable, SCRIPT], env=cluster.env, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    assert counts(done.stdout) == WANTED
    wait_until(lambda: not cluster.processes(), "the script's cluster to end", 5)


def test_a_submitted_script(home):
    cluster = Cluster(home)
    cluster.start()
    try:
        wait_until(lambda: is_warm(cluster), "the first workers", 10)
        before = kinds(cluster)
        done = cluster.job("submit", "--working-dir", SCRIPT.parent, "--", "python", SCRIPT.name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert counts(done.stdout) == WANTED
        after = left_after(cluster, before)
        assert after == before
    finally:
        cluster.stop()
    wait_until(lambda: not cluster.processes(), "the session to end", 10)


def left_after(cluster, before):
    """What is there 5 s after a job, or as soon as it is what was there before it."""
    try:
        wait_until(lambda: kinds(cluster) == before, "the job's things to go", 5)
    except AssertionError:
        pass
    return kinds(cluster)
