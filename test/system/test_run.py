# SPDX-License-Identifier: Apache-2.0
"""`mobula run` and `mobula down`: a RayJob from manifest to exit status on this machine alone."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

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

    def start(self, *words):
        """A run whose words, all in one file, are read while it goes on."""
        return subprocess.Popen([BUILD / "bin" / "mobula", *words], env=self.env, text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

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
    assert runner.processes() == []


def said(done):
    return done.stdout + done.stderr


def read_until(process, pattern):
    text = ""
    for line in process.stdout:
        text += line
        if re.search(pattern, line):
            return text
    raise AssertionError(f"no line matches {pattern}:\n{text}")


def until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


SLEEPS = MANIFEST.replace("entrypoint: python /home/ray/samples/sample_code.py",
                          "entrypoint: sleep 300")


def feed(process, text):
    process.stdin.write(text)
    process.stdin.close()
    process.stdin = None  # communicate() would write to it


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
    again = run("run", "--nodes", "1x64cpu,64Gi", "-", text=MANIFEST)
    assert again.returncode == 0, said(again)
    assert f"using the cluster in {run.dir}" in said(again)
    assert "it keeps its nodes, 3x8cpu,32Gi" in said(again)
    assert "configmaps/rayjob-video unchanged in namespace video" in said(again)
    assert len(run.processes()) >= 3
    down = run("down")
    assert down.returncode == 0 and "Ended the cluster" in said(down)
    assert not run.dir.exists()
    assert run.processes() == []


def test_what_cannot_be_ended_is_not_forgotten(run):
    """`down` says what remains, and the next one ends it."""
    assert run("run", "--keep", "-", text="apiVersion: v1\nkind: Namespace\n"
                                          "metadata: {name: one}\n").returncode == 0
    lock = run.dir / "node-agent" / "agent.lock"
    lock.unlink()
    lock.mkdir()
    down = run("down")
    assert down.returncode == 1, said(down)
    assert f"of the cluster in {run.dir} are left" in said(down) and "agent.lock" in said(down)
    assert (run.dir / "run.json").exists()
    lock.rmdir()
    down = run("down")
    assert down.returncode == 0 and "Ended the cluster" in said(down), said(down)
    assert not run.dir.exists()


HTTP = MANIFEST.replace("\nspec:\n", "\nspec:\n  submissionMode: HTTPMode\n", 1)


def test_the_log_without_a_submitter(run):
    """To its last line, however long nothing comes: the head is asked once more at the end."""
    text = HTTP.replace("entrypoint: python /home/ray/samples/sample_code.py",
                        "entrypoint: sh -c 'echo first; sleep 8; echo and last'")
    assert "sleep 8" in text and "HTTPMode" in text
    done = run("run", "-", text=text)
    assert done.returncode == 0, said(done)
    assert re.search(r"^first$", done.stdout, re.M) and re.search(r"^and last$", done.stdout, re.M)


def test_a_job_that_the_head_refuses_says_why(run):
    text = re.sub(r"(runtimeEnvYAML: \|\n)( +)", r"\1\2conda: [x]\n\2", HTTP, 1)
    assert "conda" in text and "HTTPMode" in text
    done = run("run", "-", text=text)
    assert done.returncode == 1, said(done)
    assert "SubmissionFailed: The head refused the job: " in said(done) and "conda" in said(done)


def test_a_manifest_that_cannot_be_applied_is_refused(run):
    done = run("run", "-", text="apiVersion: ray.io/v1\nkind: RayJob\nmetadata:\n  name: x\n"
                                "spec:\n  entrypoint: 7\n")
    assert done.returncode == 1
    assert "entrypoint" in said(done)
    assert run.processes() == []


def test_what_failed_is_in_the_summary(run):
    done = run("run", "-o", "json", "-", text="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
                                              "data: 7\n")
    assert done.returncode == 1
    message = json.loads(done.stdout)["message"]
    assert "document 1 (ConfigMap x)" in message and message in done.stderr
    done = run("run", "-o", "json", run.home / "gone.yaml")
    assert done.returncode == 1
    assert "gone.yaml" in json.loads(done.stdout)["message"]


def test_nodes_that_make_no_sense_are_refused_at_once(run):
    done = run("run", "--nodes", "many", "-", text=MANIFEST)
    assert done.returncode == 2 and "--nodes many: write it like 3x8cpu,32Gi" in done.stderr
    assert not run.dir.exists()


def test_a_key_that_yaml_reads_as_a_boolean_is_named(run):
    """As kubectl, the key `n` is sent as "false"; unlike it, it is said where the key stands."""
    done = run("run", "-", text="apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  n: 1\n")
    assert done.returncode == 1
    assert "metadata.false: field not declared in schema" in said(done)
    assert "line 5 column 3: YAML reads the key n as the boolean false" in said(done)


def test_two_runs_at_once_have_clusters_of_their_own(run):
    first, second = run.start("run", "-"), run.start("run", "-")
    feed(first, MANIFEST)
    feed(second, MANIFEST)
    texts = [process.communicate(timeout=150)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], "\n".join(texts)
    assert all("test_counter got 2" in text for text in texts)
    assert list(run.home.glob("run*")) == []


def test_ctrl_c_ends_everything(run):
    process = run.start("run", "-")
    feed(process, SLEEPS)
    read_until(process, "job RUNNING")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert run.processes() == []


def test_a_killed_run_leaves_no_process(run):
    process = run.start("run", "-")
    feed(process, SLEEPS)
    read_until(process, "job RUNNING")
    process.kill()
    process.wait()
    until(lambda: run.processes() == [])
    until(lambda: not list((run.dir / "node-agent" / "pods").iterdir()))


def test_the_log_of_each_try_is_shown(run):
    text = MANIFEST.replace("entrypoint: python /home/ray/samples/sample_code.py",
                            "entrypoint: sh -c 'echo a try; exit 3'\n  backoffLimit: 1")
    assert text != MANIFEST
    done = run("run", "-", text=text)
    assert done.returncode == 1, said(done)
    assert len(re.findall(r"^a try$", done.stdout, re.M)) >= 2
    assert "exit code 3" in said(done)
    assert "Retrying" in said(done)


def test_a_request_that_no_node_can_meet_is_explained(run):
    process = run.start("run", "--nodes", "1x2cpu,2Gi", "-")
    feed(process, MANIFEST)  # 4 CPUs a worker
    text = read_until(process, "even when empty")
    assert "Insufficient cpu" in text and "give the cluster other nodes with --nodes" in text
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_kept_cluster_that_was_hurt_is_mended(run):
    """By the next run: what of it has died starts again, with all that was stored."""
    empty = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"
    assert run("run", "--keep", "-", text=empty.replace("NAME", "one")).returncode == 0
    record = json.loads((run.dir / "run.json").read_text())
    for entry in record["processes"]:
        if entry["name"] != "operator":
            os.kill(entry["pid"], signal.SIGKILL)
    until(lambda: len(run.processes()) < len(record["processes"]) + 1)
    done = run("run", "-", text=MANIFEST)
    assert done.returncode == 0, said(done)
    assert f"using the cluster in {run.dir}" in said(done)
    again = run("run", "-", text=empty.replace("NAME", "one"))
    assert "configmaps/one unchanged in namespace default" in said(again)


def test_a_run_says_which_part_of_a_kept_cluster_ended(run):
    assert run("run", "--keep", "-", text=MANIFEST).returncode == 0
    process = run.start("run", "-")
    feed(process, SLEEPS)
    read_until(process, "job RUNNING")
    entries = json.loads((run.dir / "run.json").read_text())["processes"]
    os.kill(next(e["pid"] for e in entries if e["name"] == "apiserver"), signal.SIGKILL)
    text = process.communicate(timeout=30)[0]
    assert process.returncode == 1 and "the apiserver ended with" in text


def test_folders_files_and_other_clusters(run, tmp_path):
    """A folder's documents in the order of its files; a cluster that --kubeconfig names, by its
    context; the operator that is there does the work."""
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl here")
    folder = tmp_path / "manifests"
    folder.mkdir()
    config, job = MANIFEST.split("\n---\n")
    (folder / "a.yaml").write_text(config)
    (folder / "b.yml").write_text(job.replace("generateName: rayjob-video-", "name: fixed"))
    (folder / "c.txt").write_text("no manifest")
    (folder / "d.yaml").mkdir()
    (tmp_path / "more.json").write_text(json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}}))
    assert run("run", "--keep", tmp_path / "more.json").returncode == 0
    kubeconfig = run.dir / "apiserver" / "kubeconfig"
    there = subprocess.run(["kubectl", "--kubeconfig", kubeconfig, "config", "current-context"],
                           capture_output=True, text=True, check=True).stdout.strip()
    done = run("run", "--kubeconfig", kubeconfig, "--context", there, folder)
    assert done.returncode == 0, said(done)
    assert "test_counter got 2" in done.stdout
    assert re.search(r"operator there: \S+", said(done))
    assert "rayjobs.ray.io/fixed created in namespace video" in said(done)
    again = run("run", "--kubeconfig", kubeconfig, folder)
    assert again.returncode == 0 and "was not run again: delete it first" in said(again)
    wrong = run("run", "--kubeconfig", kubeconfig, "--context", "other", folder)
    assert wrong.returncode == 1 and "other" in said(wrong)


def test_no_operator_is_brought_to_another_cluster(run, tmp_path):
    assert run("run", "--keep", "-", text="apiVersion: v1\nkind: Namespace\n"
                                          "metadata: {name: one}\n").returncode == 0
    entries = json.loads((run.dir / "run.json").read_text())["processes"]
    os.kill(next(e["pid"] for e in entries if e["name"] == "operator"), signal.SIGTERM)
    kubeconfig = run.dir / "apiserver" / "kubeconfig"
    until(lambda: not subprocess.run(
        ["kubectl", "--kubeconfig", kubeconfig, "get", "lease", "ray-operator-leader", "-o",
         "jsonpath={.spec.holderIdentity}"], capture_output=True, text=True).stdout)
    done = run("run", "--kubeconfig", kubeconfig, "-", text=MANIFEST)
    assert done.returncode == 1
    assert "no Lease ray-operator-leader is held" in said(done)


def test_a_dead_operator_is_none(run):
    """One that was killed has given its Lease to nobody."""
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl here")
    empty = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"
    assert run("run", "--keep", "-", text=empty).returncode == 0
    kubeconfig = run.dir / "apiserver" / "kubeconfig"

    def kubectl(*words):
        return subprocess.run(["kubectl", "--kubeconfig", kubeconfig, *words], check=True,
                              capture_output=True, text=True).stdout

    lease = ["lease", "ray-operator-leader", "-n", "default"]
    until(lambda: kubectl("get", *lease, "--ignore-not-found", "-o",
                          "jsonpath={.spec.holderIdentity}"))
    entries = json.loads((run.dir / "run.json").read_text())["processes"]
    os.kill(next(e["pid"] for e in entries if e["name"] == "operator"), signal.SIGKILL)
    until(lambda: not any(" operator " in line for line in run.processes()))
    kubectl("patch", *lease, "--type=merge", "-p",
            '{"spec": {"renewTime": "2026-01-02T03:04:05.000000Z"}}')
    done = run("run", "--kubeconfig", kubeconfig, "-", text=empty)
    assert done.returncode == 1
    assert "is of an operator that ended at 2026-01-02T03:04:20Z" in said(done)
