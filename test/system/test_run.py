# SPDX-License-Identifier: Apache-2.0
"""`mobula run` and `mobula down`: a RayJob from manifest to exit status on this machine alone."""
import json
import os
import pathlib
import subprocess

import pytest

from conftest import BUILD, TOP

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="pods need root here")

EXAMPLE = (TOP / "examples" / "rayjob-counter.yaml").read_text()
# Packages come from a registry; what is tested here has to work without one.
MANIFEST = "\n".join(line for line in EXAMPLE.splitlines()
                     if not any(word in line for word in ("pip:", "requests==", "import requests",
                                                     "requests.__", "pendulum")))


class Runner:
    def __init__(self, home):
        self.dir = home / "run"
        self.home = home
        self.env = dict(os.environ, MOBULA_RUN_DIR=str(self.dir),
                        MOBULA_CACHE_DIR=str(home / "cache"))
        for name in ("KUBECONFIG", "RAY_ADDRESS", "RAY_TMPDIR"):
            self.env.pop(name, None)

    def __call__(self, *words, text=None, timeout=150):
        return subprocess.run([BUILD / "bin" / "mobula", *words], input=text, env=self.env,
                              capture_output=True, text=True, timeout=timeout)

    def processes(self):
        """Command lines of what still runs for this folder."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if any(str(self.dir).encode() in word for word in words):
                found.append(b" ".join(words).decode())
        return found


@pytest.fixture
def run(tmp_path):
    runner = Runner(tmp_path)
    yield runner
    runner("down")


def said(done):
    return done.stdout + done.stderr


def test_a_job_runs_and_nothing_is_left(run):
    done = run("run", "-", text=MANIFEST)
    assert done.returncode == 0, said(done)
    assert "test_counter got 2" in said(done)
    assert "namespaces/video created" in said(done)
    assert "SUCCEEDED: cluster " in said(done)
    assert not run.dir.exists()
    assert run.processes() == []


def test_a_failed_job_fails_the_run(run):
    text = MANIFEST.replace("ray.init()", "raise SystemExit('went wrong')", 1)
    assert text != MANIFEST
    done = run("run", "-o", "json", "-", text=text)
    assert done.returncode == 1, said(done)
    assert "went wrong" in said(done)
    job, = json.loads(done.stdout[done.stdout.index('{\n    "rayJobs"'):])["rayJobs"]
    assert job["status"] == "FAILED" and job["namespace"] == "video"
    assert (run.dir / "operator" / "log").exists()
    assert run.processes() == []


def test_a_kept_cluster_takes_more_jobs_until_down(run):
    first = run("run", "--keep", "-", text=MANIFEST)
    assert first.returncode == 0, said(first)
    assert f"export KUBECONFIG={run.dir}/apiserver/kubeconfig" in said(first)
    again = run("run", "-", text=MANIFEST)
    assert again.returncode == 0, said(again)
    assert f"using the cluster in {run.dir}" in said(again)
    assert "configmaps/rayjob-video unchanged in namespace video" in said(again)
    assert len(run.processes()) >= 3
    down = run("down")
    assert down.returncode == 0 and "Ended the cluster" in said(down)
    assert not run.dir.exists()
    assert run.processes() == []


def test_a_manifest_that_cannot_be_applied_is_refused(run):
    done = run("run", "-", text="apiVersion: ray.io/v1\nkind: RayJob\nmetadata:\n  name: x\n"
                                "spec:\n  entrypoint: 7\n")
    assert done.returncode == 1
    assert "entrypoint" in said(done)
    assert run.processes() == []
