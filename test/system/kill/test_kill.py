# SPDX-License-Identifier: Apache-2.0
"""SIGKILL to every process of the main job, one a run, at moments that a seed decides. However it
ends, it ends: SUCCEEDED, or with a reason that names the process; and nothing is left."""
import contextlib
import json
import os
import random
import re
import signal
import time

import pytest

from embedded import (EXAMPLE, Embedded, command, needs_root, replaced, wait_until,
                      without_environment)

pytestmark = [needs_root, pytest.mark.slow]

LIMIT = 60  # seconds for one run, whatever happens to it

# Two seconds of calls to an actor and to tasks, results checked.
SCRIPT = replaced(without_environment(EXAMPLE), "    for _ in range(2):\n", """\
    @ray.remote(max_retries=3)
    def square(x):
        return x * x

    for step in range(40):
        assert ray.get([square.remote(i) for i in range(10)]) == [i * i for i in range(10)]
        time.sleep(0.05)

    for _ in range(2):
""").replace("    import os\n", "    import os\n    import time\n", 1)

# How each is found, and what names it in the reason when the job does not survive.
ROLES = {
    "gcs": ("mobula gcs ", r"\bgcs\b(?!://)"),
    "raylet": ("mobula raylet ", r"\braylet\b.{,40}\b(died|ended|gone|lost)\b"),
    "dashboard": ("mobula dashboard ", r"\bdashboard\b"),
    "zygote": (" from ray._private.zygote import main", r"process that starts workers .* ended by signal 9"),
    "job-run": ("mobula job-run ", r"\bjob-run, died\b"),
    "worker": ("ray::", r"worker process has died|WorkerCrashedError|ActorDiedError"),
    "operator": ("mobula operator ", "the operator ended with signal 9"),
    "apiserver": ("mobula apiserver ", "the apiserver ended with signal 9"),
    "node-agent": ("mobula node-agent ", "the node-agent ended with signal 9"),
}


def find(cluster, role):
    """The processes of the role. The agent's launcher and keepers are called as it is."""
    mark = ROLES[role][0]
    found = [pid for pid in cluster.processes() if mark in command(pid) + " "]
    return [min(found)] if found and role == "node-agent" else found


def reason(summary):
    """Why it failed: the job's message (of the driver's log that has the last lines only) and the
    run's own."""
    jobs = [job.get("message", "") for job in summary.get("rayJobs", [])]
    return "\n".join([*jobs, summary.get("message", "")])


def kill_at(cluster, role, process, moment, choice):
    """Kills one of the role at the moment, or as soon as there is one; which, or None if the run
    was over first."""
    begun = time.monotonic()
    while process.poll() is None:
        if time.monotonic() - begun >= moment:
            found = find(cluster, role)
            if found:
                pid = choice.choice(sorted(found))
                name = command(pid)
                cluster.look()
                with contextlib.suppress(ProcessLookupError):  # it ended just now: another one
                    os.kill(pid, signal.SIGKILL)
                    return f"{pid} {name[:60]}"
        time.sleep(0.01)
    return None


@pytest.fixture(scope="session")
def length(tmp_path_factory):
    """How long an undisturbed run takes."""
    home = tmp_path_factory.mktemp("undisturbed")
    cluster = Embedded(home, home / "cache")
    begun = time.monotonic()
    done, job = cluster.run_json(SCRIPT)
    assert done.returncode == 0 and job["status"] == "SUCCEEDED", done.stdout + done.stderr
    took = time.monotonic() - begun
    cluster.down()
    return took


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_process(tmp_path, length, role, seed):
    choice = random.Random(f"{role} {seed}")
    moment = choice.uniform(0, length)
    cluster = Embedded(tmp_path, tmp_path / "cache")
    manifest, output, errors = (tmp_path / name for name in ("job.yaml", "output", "errors"))
    manifest.write_text(SCRIPT)
    begun = time.monotonic()
    process = cluster.start("run", "-o", "json", str(manifest), output=output, errors=errors)
    try:
        killed = kill_at(cluster, role, process, moment, choice)
        wait_until(lambda: process.poll() is not None, "the run to end",
                   max(1, LIMIT - (time.monotonic() - begun)))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        text, log = output.read_text(), errors.read_text()
        print(f"{role} {seed}: at {moment:.2f} s {killed}\n{log}\n{text}")
        cluster.down()
    print(f"status {process.returncode} after {time.monotonic() - begun:.1f} s")
    if process.returncode == 0:
        assert "test_counter got 2" in log
    else:
        assert killed and re.search(ROLES[role][1], reason(json.loads(text)))
