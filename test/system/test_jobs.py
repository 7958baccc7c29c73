# SPDX-License-Identifier: Apache-2.0
"""Jobs by our command line and by REST."""
import json
import os
import pathlib
import signal
import socket
import subprocess

import pytest

from conftest import Cluster, free_port, lines, wait_until


def submit(cluster, *words, **more):
    return cluster.job("submit", *words, **more)


def status(cluster, job):
    return cluster.http(f"/api/jobs/{job}")[1]["status"]


def finish(cluster, job, timeout=30):
    done = {"SUCCEEDED", "FAILED", "STOPPED"}
    return wait_until(lambda: (s := status(cluster, job)) in done and s, f"{job} to end", timeout)


def test_submit_prints_what_the_peer_prints(shared_cluster, home):
    (home / "wd").mkdir()
    (home / "wd" / "x.py").write_text("import os, sys\nprint('hi', os.environ['A'])\n"
                                      "print('err', file=sys.stderr)\n")
    done = submit(shared_cluster, "--submission-id", "good", "--working-dir", home / "wd",
                  "--runtime-env-json", '{"env_vars": {"A": "1"}}', "--", "python", "x.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines(done.stdout) == [
        f"Job submission server address: {shared_cluster.url}",
        "---------------------------------",
        "Job 'good' submitted successfully",
        "---------------------------------",
        "Next steps",
        "Query the logs of the job:",
        "ray job logs good",
        "Query the status of the job:",
        "ray job status good",
        "Request the job to be stopped:",
        "ray job stop good",
        "Tailing logs until the job exits (disable with --no-wait):",
        "TIME\tINFO job_manager.py:581 -- Runtime env is setting up.",
        "Running entrypoint for job good: python x.py",
        "hi 1",
        "err",
        "--------------------",
        "Job 'good' succeeded",
        "--------------------",
    ]


def test_a_failing_entrypoint(shared_cluster):
    done = submit(shared_cluster, "--submission-id", "bad", "--", "sh", "-c", "echo oh; exit 3")
    assert done.returncode == 1
    assert lines(done.stdout)[-7:] == [
        "----------------",
        "Job 'bad' failed",
        "----------------",
        "Status message: Job entrypoint command failed with exit code 3, last available logs "
        "(truncated to 20,000 chars):",
        "TIME\tINFO job_manager.py:581 -- Runtime env is setting up.",
        "Running entrypoint for job bad: sh -c 'echo oh; exit 3'",
        "oh",
    ]
    details = shared_cluster.http("/api/jobs/bad")[1]
    assert details["driver_exit_code"] == 3
    assert details["error_type"] == "JOB_ENTRYPOINT_COMMAND_ERROR"


def test_details_have_the_peers_fields(shared_cluster):
    submit(shared_cluster, "--submission-id", "fields", "--metadata-json", '{"a": "b"}', "--", "true")
    code, details = shared_cluster.http("/api/jobs/fields")
    assert code == 200
    assert list(details) == ["type", "job_id", "submission_id", "driver_info", "status",
                             "entrypoint", "message", "error_type", "start_time", "end_time",
                             "metadata", "runtime_env", "driver_agent_http_address",
                             "driver_node_id", "driver_exit_code"]
    assert details["type"] == "SUBMISSION" and details["status"] == "SUCCEEDED"
    assert details["message"] == "Job finished successfully."
    assert details["metadata"] == {"a": "b"} and details["runtime_env"] == {}
    assert details["start_time"] <= details["end_time"]


def test_refusals(shared_cluster):
    submit(shared_cluster, "--submission-id", "once", "--no-wait", "--", "true")
    code, text = shared_cluster.http("/api/jobs/", "POST",
                                     {"entrypoint": "true", "submission_id": "once"})
    assert code == 500 and "Please use a different submission_id" in text
    assert shared_cluster.http("/api/jobs/nope") == (404, "Job nope does not exist")
    assert shared_cluster.http("/api/jobs/nope", "DELETE") == (404, "Job nope does not exist")
    assert shared_cluster.http("/api/jobs/nope/stop", "POST")[0] == 404
    assert shared_cluster.http("/api/jobs/nope/logs")[0] == 404
    status, answer = shared_cluster.http("/api/jobs/", "POST", b"[" * 100000)
    assert status == 413 and "nested deeper" in answer
    for body, text in ((b"{", "line"), (b'{"entrypoint": 1}', "entrypoint must be a string"),
                       (b"{}", "entrypoint"),
                       (b'{"entrypoint": "x", "runtime_env": {"env_vars": {"A": 1}}}', "env_vars"),
                       (b'{"entrypoint": "x", "submission_id": "../y"}', "submission_id"),
                       (b'{"entrypoint": "x", "submission_id": "a/b"}', "no '/'")):
        code, answer = shared_cluster.http("/api/jobs/", "POST", body)
        assert code == 400 and text in answer, (body, code, answer)
    done = shared_cluster.job("status", "nope")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "RuntimeError: Request failed with status code 404: Job nope does not exist.")


def test_unusual_ids(shared_cluster):
    """Any name of a file is one; none at all makes one."""
    done = submit(shared_cluster, "--submission-id", "at 12:30 \u00e9", "--", "echo", "hi")
    assert done.returncode == 0, done.stderr
    assert shared_cluster.job("logs", "at 12:30 \u00e9").stdout.endswith("hi\n")
    code, answer = shared_cluster.http("/api/jobs/", "POST",
                                       {"entrypoint": "true", "submission_id": ""})
    assert code == 200 and answer["submission_id"].startswith("raysubmit_")


def test_answers_as_json(shared_cluster):
    submit(shared_cluster, "--submission-id", "machine", "--", "true")
    details = json.loads(shared_cluster.job("status", "machine", "-o", "json").stdout)
    assert details == shared_cluster.http("/api/jobs/machine")[1]
    jobs = json.loads(shared_cluster.job("list", "--output=json").stdout)
    assert details in jobs
    done = shared_cluster.job("status", "nope", "-o", "json")
    assert (done.returncode, done.stdout) == (1, "") and "nope does not exist" in done.stderr
    assert shared_cluster.job("list", "-o", "xml").returncode == 2


def test_health_check_of_what_does_not_run(shared_cluster):
    address = f"127.0.0.1:{shared_cluster.port}"
    assert shared_cluster.ray("health-check", "--address", address).returncode == 0
    done = shared_cluster.ray("health-check", "--address", address, "--component", "nope")
    assert done.returncode == 1 and "nope does not run" in done.stderr


def test_stop_and_delete(shared_cluster):
    submit(shared_cluster, "--submission-id", "long", "--no-wait", "--", "sh", "-c",
           "sleep 300 & sleep 300")
    wait_until(lambda: status(shared_cluster, "long") == "RUNNING", "the job to run")
    code, text = shared_cluster.http("/api/jobs/long", "DELETE")
    assert code == 500 and text.startswith("Attempted to delete job 'long', but it is in a "
                                           "non-terminal state RUNNING")
    done = shared_cluster.job("stop", "long")
    assert done.returncode == 0
    assert lines(done.stdout)[-1] == "Job 'long' was stopped"
    assert shared_cluster.http("/api/jobs/long/stop", "POST") == (200, {"stopped": False})
    done = shared_cluster.job("delete", "long")
    assert lines(done.stdout)[-1] == "Job 'long' deleted successfully"
    assert shared_cluster.http("/api/jobs/long")[0] == 404


def test_a_deleted_id_can_be_used_again(shared_cluster):
    for text in ("first", "second"):
        done = submit(shared_cluster, "--submission-id", "again", "--", "echo", text)
        assert done.returncode == 0, done.stdout + done.stderr
        assert shared_cluster.http("/api/jobs/again/logs")[1]["logs"].endswith(f"\n{text}\n")
        shared_cluster.http("/api/jobs/again", "DELETE")
    assert "first" not in done.stdout


def test_list_and_logs(shared_cluster):
    submit(shared_cluster, "--submission-id", "listed", "--", "echo", "a line")
    jobs = shared_cluster.http("/api/jobs/")[1]
    assert "listed" in [job["submission_id"] for job in jobs]
    assert shared_cluster.http("/api/jobs/listed/logs")[1]["logs"].endswith("a line\n")
    assert shared_cluster.job("logs", "listed").stdout.endswith("a line\n")
    followed = shared_cluster.job("logs", "--follow", "listed").stdout
    assert "a line\n" in followed and "Job 'listed' succeeded" in followed
    assert "JobDetails(type=<JobType.SUBMISSION: 'SUBMISSION'>" in shared_cluster.job("list").stdout


def test_the_environment_of_an_entrypoint(shared_cluster):
    submit(shared_cluster, "--submission-id", "environment", "--metadata-json", '{"k": "v"}', "--",
           "sh", "-c", "echo $RAY_ADDRESS; echo $RAY_JOB_CONFIG_JSON_ENV_VAR")
    logs = shared_cluster.http("/api/jobs/environment/logs")[1]["logs"].splitlines()
    assert logs[-2] == f"127.0.0.1:{shared_cluster.port}"
    config = json.loads(logs[-1])
    assert config["runtime_env"] == {}
    assert config["metadata"] == {"job_submission_id": "environment", "job_name": "environment",
                                  "k": "v"}


def test_py_modules_and_ignored_files(shared_cluster, home):
    module, wd = home / "mymodule", home / "wd"
    module.mkdir()
    wd.mkdir()
    (module / "__init__.py").write_text("value = 42\n")
    (wd / "secret.bin").write_text("no")
    (wd / ".gitignore").write_text("*.bin\n")
    env = {"py_modules": [str(module)], "working_dir": str(wd)}
    done = submit(shared_cluster, "--runtime-env-json", json.dumps(env), "--", "python3", "-c",
                  "import mymodule, os; print(mymodule.value, sorted(os.listdir('.')))")
    assert "42 ['.gitignore']" in done.stdout, done.stdout + done.stderr


def test_an_empty_runtime_env_is_none(shared_cluster, home):
    """As KubeRay's operator sends it for comments alone, and as a file in which all is commented out."""
    (home / "env.yaml").write_text("# pip: [nothing]\n")
    (home / "empty.yaml").write_text("")
    for words in (("--runtime-env-json", "null"), ("--runtime-env", home / "env.yaml"),
                  ("--runtime-env", home / "empty.yaml")):
        done = submit(shared_cluster, *words, "--", "echo", "it runs")
        assert done.returncode == 0 and "it runs" in lines(done.stdout), done.stdout + done.stderr


def test_a_broken_runtime_env_fails_the_job(shared_cluster):
    done = submit(shared_cluster, "--runtime-env-json",
                  '{"working_dir": "gcs://_ray_pkg_0000000000000000.zip"}', "--", "true")
    assert done.returncode == 1
    assert "runtime_env setup failed" in done.stdout and "gcs://_ray_pkg_" in done.stdout


def test_packages(shared_cluster):
    path = "/api/packages/gcs/_ray_pkg_0123.zip"
    assert shared_cluster.http(path) == (404, "Package gcs://_ray_pkg_0123.zip does not exist")
    assert shared_cluster.http(path, "PUT", b"x" * (9 << 20))[0] == 200
    assert shared_cluster.http(path)[0] == 200
    assert shared_cluster.http("/api/packages/gcs/..%2fx.zip", "PUT", b"x")[0] in (400, 404)


def test_cluster_endpoints(shared_cluster):
    version = shared_cluster.http("/api/version")[1]
    assert version["version"] == "4" and version["ray_version"] == "2.60.0"
    assert version["session_name"].startswith("session_")
    assert shared_cluster.http("/api/ray/version")[1] == version
    assert shared_cluster.http("/api/gcs_healthz") == (200, "success")
    assert shared_cluster.http("/api/authentication_mode")[1] == {"authentication_mode": "disabled"}
    assert shared_cluster.http("/api/serve/applications/?api_type=declarative")[1] == {
        "controller_info": {}, "proxies": {}, "applications": {}, "target_capacity": None}
    nodes = shared_cluster.http("/nodes?view=summary")[1]
    assert nodes["result"] and nodes["data"]["summary"][0]["raylet"]["state"] == "ALIVE"
    activity = shared_cluster.http("/api/component_activities")[1]["driver"]
    assert activity["is_active"] in ("ACTIVE", "INACTIVE")
    usage = shared_cluster.http("/api/cluster_status")[1]["data"]["clusterStatus"]
    assert usage["loadMetricsReport"]["usage"]["CPU"][1] == 2.0
    assert shared_cluster.http("/nope")[0] == 404
    browser = {"User-Agent": "Mozilla/5.0"}
    assert shared_cluster.http("/api/jobs/", "POST", {"entrypoint": "true"}, browser)[0] == 405


SCRIPTS = pathlib.Path(__file__).parent / "scripts"
COUNTS = [f"count {n}" for n in range(1, 10001)]


def counts(text):
    return [line for line in text.splitlines() if line.startswith("count ")]


def test_the_counter_script(shared_cluster):
    done = submit(shared_cluster, "--submission-id", "counter", "--working-dir", SCRIPTS,
                  "--runtime-env-json", '{"env_vars": {"A": "for workers too"}}', "--",
                  "python", "my_script.py", timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert counts(done.stdout) == COUNTS
    details = shared_cluster.http("/api/jobs/counter")[1]
    package = details["runtime_env"]["working_dir"].removeprefix("gcs://").removesuffix(".zip")
    assert f"where {package} for workers too" in done.stdout
    assert details["driver_info"]["id"] == details["job_id"]
    assert shared_cluster.http(f"/api/jobs/{details['job_id']}")[1] == details
    wait_until(lambda: " 0.0/2.0 CPU" in shared_cluster.ray("status").stdout,
               "the job's resources to be free", 10)


def test_a_driver_that_nobody_submitted(shared_cluster):
    script = """
import json, ray, urllib.request
ray.init(address="auto")
job = ray.get_runtime_context().get_job_id()
with urllib.request.urlopen(URL + "/api/jobs/" + job) as answer:
    print(answer.read().decode())
""".replace("URL", repr(shared_cluster.url))
    done = subprocess.run(["python3", "-c", script], env=shared_cluster.env, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    details = json.loads(done.stdout.splitlines()[-1])
    assert details["type"] == "DRIVER" and details["status"] == "RUNNING"
    assert details["submission_id"] is None and details["driver_info"]["id"] == details["job_id"]
    job = details["job_id"]
    wait_until(lambda: shared_cluster.http(f"/api/jobs/{job}")[1]["status"] == "SUCCEEDED",
               "the driver to be seen ended", 10)
    assert shared_cluster.http(f"/api/jobs/{job}/stop", "POST") == (
        400, "Can only stop submission type jobs")
    assert shared_cluster.http(f"/api/jobs/{job}/logs") == (
        400, "Can only get logs of submission type jobs")


def agent(cluster, port, path):
    import urllib.error
    import urllib.request
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_agent_and_probes(shared_cluster):
    assert agent(shared_cluster, shared_cluster.agent, "/api/local_raylet_healthz") == (
        200, "success")
    assert agent(shared_cluster, shared_cluster.agent, "/api/healthz") == (
        200, "raylet: success\ngcs: success")
    for url, code, text in ((f"{shared_cluster.url}/api/gcs_healthz", 0, "success"),
                            (f"http://127.0.0.1:{shared_cluster.agent}/nope", 8, ""),
                            (f"http://127.0.0.1:{free_port()}/", 4, "")):
        done = subprocess.run(["mobula", "wget", "--tries", "1", "-T", "2", "-q", "-O-", url],
                              env=shared_cluster.env, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout) == (code, text), url


def test_a_job_on_another_node(home):
    """Its log lies in another folder: the dashboard passes on what the node's agent has."""
    cluster = Cluster(home)
    cluster.start()
    try:
        port, metrics = free_port(), free_port()
        done = cluster.ray("start", f"--address=127.0.0.1:{cluster.port}", "--num-cpus=1",
                           "--node-ip-address=127.0.0.1", "--resources", '{"second": 1}',
                           f"--dashboard-agent-listen-port={port}", "--temp-dir", home / "other",
                           "--object-store-memory=80000000", f"--metrics-export-port={metrics}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert agent(cluster, port, "/api/healthz")[1].endswith("gcs: success (no local gcs)")
        text = agent(cluster, metrics, "/metrics")[1]
        assert "ray_node_mem_total{" in text and 'ray_resources{Name="second"' in text
        done = submit(cluster, "--submission-id", "away", "--entrypoint-resources",
                      '{"second": 1}', "--", "sh", "-c", "echo far; sleep 0.3; echo away")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("far\naway\n") == 1
        details = cluster.http("/api/jobs/away")[1]
        assert details["driver_agent_http_address"] == f"http://127.0.0.1:{port}"
        assert cluster.http("/api/jobs/away/logs")[1]["logs"].endswith("far\naway\n")
        assert cluster.job("logs", "away").stdout.endswith("far\naway\n")
    finally:
        cluster.stop()
        cluster.end_processes(signal.SIGTERM)


def follow(cluster, path, command, *words):
    """`ray job COMMAND` that writes what it follows to a file."""
    with open(path, "wb") as out:
        return subprocess.Popen(["ray", "job", command, "--address", cluster.url, *words],
                                env=cluster.env, stdout=out)


@pytest.mark.parametrize("role", ["dashboard", "gcs"])
def test_a_job_outlives_a_killed_service(home, role):
    """`ray start --block` starts what crashed again; the job runs on and ends as it should, and
    who follows it gets each line once and the job's own end."""
    cluster = Cluster(home)
    head = subprocess.Popen(["ray", *cluster.start_words(), "--block"], env=cluster.env,
                            stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: cluster.ray("health-check", "--address",
                                       f"127.0.0.1:{cluster.port}").returncode == 0, "the head")

        def up():
            try:
                return cluster.http("/api/gcs_healthz")[0] == 200
            except OSError:
                return False

        wait_until(up, "the dashboard")
        gate = home / "gate"
        prints = "i=0; while i=$((i + 1)); echo line $i; [ ! -e %s ]; do sleep 0.01; done; exit 7"
        followers = [follow(cluster, home / "submit", "submit", "--submission-id", "j", "--", "sh",
                            "-c", prints % gate)]
        wait_until(lambda: "line 1\n" in (home / "submit").read_text(), "the job's first line")
        followers.append(follow(cluster, home / "logs", "logs", "--follow", "j"))
        wait_until(lambda: "line 1\n" in (home / "logs").read_text(), "the other's first line")
        first = cluster.pid_of(role)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: cluster.pid_of(role) not in (None, first), f"{role} to come again")
        wait_until(up, "the dashboard")
        gate.touch()
        assert finish(cluster, "j") == "FAILED"
        log = cluster.http("/api/jobs/j/logs")[1]["logs"]
        numbers = [int(line.split()[1]) for line in log.splitlines() if line.startswith("line ")]
        assert numbers == list(range(1, len(numbers) + 1))
        assert [follower.wait(60) for follower in followers] == [1, 0]
        for name in ("submit", "logs"):
            # The status has the log's last lines once more.
            followed, failed, _ = (home / name).read_text().partition("Job 'j' failed")
            assert failed and log in followed and followed.count("line 1\n") == 1
    finally:
        head.send_signal(signal.SIGTERM)
        assert head.wait(30) == 0
        assert wait_until(lambda: not cluster.processes(), "the node to end", 10)
    assert f"{'gcs_server' if role == 'gcs' else role} [exit code=-9]" in head.stdout.read()


def test_a_follower_that_is_its_containers_first_process_ends_when_told(cluster):
    """bash runs the last command of a pod's submitter in its own place."""
    submit(cluster, "--submission-id", "j", "--no-wait", "--", "sleep", "300")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    shell = subprocess.Popen(["unshare", *user, "--pid", "--fork", "bash", "-ce", "true; ray job "
                              f"logs --follow --address {cluster.url} j"], env=cluster.env,
                             stdout=subprocess.PIPE, text=True)
    try:
        for line in shell.stdout:
            if "Running entrypoint" in line:
                break
        children = pathlib.Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text()
        os.kill(int(children), signal.SIGTERM)
        assert shell.wait(10) == 128 + signal.SIGTERM
    finally:
        shell.kill()
        cluster.job("stop", "j")


def test_job_run_killed_fails_the_job(cluster):
    submit(cluster, "--submission-id", "orphan", "--no-wait", "--", "sleep", "300")
    wait_until(lambda: status(cluster, "orphan") == "RUNNING", "the job to run")
    os.kill(cluster.pid_of("job-run"), signal.SIGKILL)
    assert finish(cluster, "orphan") == "FAILED"
    assert "job-run" in cluster.http("/api/jobs/orphan")[1]["message"]


def used(cluster, name="CPU"):
    """What `ray status` shows as in use and as there is, e.g. "2.0/2.0"."""
    for line in cluster.ray("status").stdout.splitlines():
        if line.endswith(f" {name}"):
            return line.split()[0]
    return None


def details(cluster, job):
    return cluster.http(f"/api/jobs/{job}")[1]


WAITS = ("Job has not started yet. It may be waiting for resources (CPUs, GPUs, memory, custom "
         "resources) to become available.")


def test_what_an_entrypoint_asks_for_is_taken_from_its_node(cluster):
    cluster.ray("stop")
    cluster.start("--num-gpus=2", "--resources", '{"seat": 3}')
    submit(cluster, "--submission-id", "first", "--no-wait", "--entrypoint-num-cpus", "1.5",
           "--entrypoint-num-gpus", "1", "--entrypoint-memory", "1000", "--entrypoint-resources",
           '{"seat": 2}', "--", "sh", "-c", "echo sees $CUDA_VISIBLE_DEVICES; sleep 300")
    wait_until(lambda: status(cluster, "first") == "RUNNING", "the first to run")
    wait_until(lambda: (used(cluster), used(cluster, "GPU"), used(cluster, "seat")) ==
               ("1.5/2.0", "1.0/2.0", "2.0/3.0"), "it to be charged")
    assert "sees 0\n" in cluster.job("logs", "first").stdout
    submit(cluster, "--submission-id", "second", "--no-wait", "--entrypoint-num-cpus", "1", "--",
           "sleep", "300")
    submit(cluster, "--submission-id", "small", "--entrypoint-num-cpus", "0.5", "--", "true")
    assert status(cluster, "small") == "SUCCEEDED"  # there is room for it
    assert (status(cluster, "second"), details(cluster, "second")["message"]) == ("PENDING", WAITS)
    assert "{'CPU': 1.0}: 1+ pending" in cluster.ray("status").stdout
    cluster.job("stop", "first")  # and nobody joins
    wait_until(lambda: status(cluster, "second") == "RUNNING", "the second to run")
    wait_until(lambda: used(cluster) == "1.0/2.0", "the stopped one's to be free")
    os.kill(cluster.pid_of("job-run"), signal.SIGKILL)
    assert finish(cluster, "second") == "FAILED"
    wait_until(lambda: used(cluster) == "0.0/2.0", "the killed one's to be free")


def test_an_entrypoint_that_no_node_can_take_waits_with_the_reason(cluster):
    submit(cluster, "--submission-id", "huge", "--no-wait", "--entrypoint-num-cpus", "64",
           "--entrypoint-resources", '{"seat": 1}', "--", "echo", "sat")
    wait_until(lambda: "seat" in details(cluster, "huge")["message"], "the reason")
    assert details(cluster, "huge")["message"] == WAITS + (
        " The entrypoint needs 64.0 CPU where no node has more than 2.0, 1.0 seat where no node "
        "has more than 0.0: add a node that has it, or stop the job and ask for less.")
    node = cluster.ray("start", f"--address=127.0.0.1:{cluster.port}", "--num-cpus=64",
                       "--node-ip-address=127.0.0.1", "--resources", '{"seat": 1}',
                       f"--dashboard-agent-listen-port={free_port()}", "--temp-dir",
                       cluster.home / "other", "--object-store-memory=80000000",
                       f"--metrics-export-port={free_port()}")
    assert node.returncode == 0, node.stdout + node.stderr
    assert finish(cluster, "huge") == "SUCCEEDED"
    cluster.stop()
    cluster.end_processes(signal.SIGTERM)  # the other node's


def test_jobs_of_one_name_in_two_clusters_end_apart(cluster):
    other = Cluster(cluster.home / "two")
    other.home.mkdir()
    other.start()
    try:
        for each in (cluster, other):
            submit(each, "--submission-id", "same", "--no-wait", "--", "sleep", "300")
            wait_until(lambda: status(each, "same") == "RUNNING", "the job to run")
        other.job("stop", "same")
        assert status(other, "same") == "STOPPED"
        assert cluster.job("logs", "same").returncode == 0  # its job-run has had its turn
        assert status(cluster, "same") == "RUNNING"
        cluster.job("stop", "same")
        assert status(cluster, "same") == "STOPPED"
    finally:
        other.stop()


def test_what_jobs_hold_outlives_a_gcs(home):
    """One that starts again knows who holds what, who waits, and for what."""
    cluster = Cluster(home)
    head = subprocess.Popen(["ray", *cluster.start_words(), "--block"], env=cluster.env,
                            stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: cluster.ray("health-check", "--address", f"127.0.0.1:{cluster.port}")
                   .returncode == 0, "the head")
        for name in ("holds", "waits"):
            submit(cluster, "--submission-id", name, "--no-wait", "--entrypoint-num-cpus", "2",
                   "--", "sleep", "300")
        wait_until(lambda: status(cluster, "holds") == "RUNNING", "the first to run")
        os.kill(cluster.pid_of("gcs"), signal.SIGKILL)
        wait_until(lambda: used(cluster) == "2.0/2.0", "the new gcs to know")
        assert (status(cluster, "holds"), status(cluster, "waits")) == ("RUNNING", "PENDING")
        cluster.job("stop", "holds")
        wait_until(lambda: status(cluster, "waits") == "RUNNING", "the second to run")
        cluster.job("stop", "waits")
        wait_until(lambda: used(cluster) == "0.0/2.0", "all to be free")
    finally:
        head.terminate()
        head.communicate(timeout=30)


def test_an_entrypoint_does_not_outlive_its_raylet(cluster):
    """Its node is dead to the cluster: the job has failed, so nothing of it may run on."""
    submit(cluster, "--submission-id", "left", "--no-wait", "--", "sh", "-c", "exec sleep 31536000")
    wait_until(lambda: status(cluster, "left") == "RUNNING", "the job to run")
    job_run = cluster.pid_of("job-run")
    os.kill(cluster.pid_of("raylet"), signal.SIGKILL)
    wait_until(lambda: status(cluster, "left") == "FAILED", "the job to be failed")
    assert "died" in details(cluster, "left")["message"]
    wait_until(lambda: not any(process_has(pid, "31536000") for pid in cluster.processes()),
               "the entrypoint to be ended", 30)
    os.kill(job_run, 0)  # it still has the end to tell, to a raylet that may come


def process_has(pid, word):
    try:
        return word in pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return False


def test_token(home):
    cluster = Cluster(home, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="s3cret")
    cluster.start()
    try:
        assert cluster.http("/api/jobs/") == (401, "Unauthorized: Missing authentication token")
        wrong = {"Authorization": "Bearer other"}
        assert cluster.http("/api/jobs/", headers=wrong) == (
            403, "Forbidden: Invalid authentication token")
        for name in ("Authorization", "X-Ray-Authorization"):
            assert cluster.http("/api/jobs/", headers={name: "Bearer s3cret"})[0] == 200
        cookie = {"Cookie": "a=b; ray-authentication-token=s3cret"}
        assert cluster.http("/api/jobs/", headers=cookie)[0] == 200
        assert cluster.http("/api/gcs_healthz")[0] == 200
        done = submit(cluster, "--", "sh", "-c", "echo $RAY_AUTH_TOKEN")
        assert done.returncode == 0 and "s3cret" in done.stdout, done.stdout + done.stderr
        done = submit(cluster, "--", "true", env={"RAY_AUTH_MODE": "disabled"})
        assert done.returncode == 1 and "Authentication required" in done.stderr
    finally:
        cluster.stop()


def test_a_submitter_follows_although_the_dashboard_is_not_back_yet(cluster):
    submit(cluster, "--submission-id", "followed", "--no-wait", "--", "sh", "-c",
           "sleep 1; echo at the end")
    os.kill(cluster.pid_of("dashboard"), signal.SIGKILL)
    logs = ["ray", "job", "logs", "--address", cluster.url, "--follow", "followed"]
    refused = subprocess.run(logs, env=cluster.env, capture_output=True, text=True, timeout=30)
    assert refused.returncode == 1 and "Failed to connect to Ray" in refused.stderr
    follower = subprocess.Popen(logs, env=dict(cluster.env, RAY_JOB_SUBMISSION_ID="followed"),
                                stdout=subprocess.PIPE, text=True)
    again = subprocess.Popen(["mobula", "dashboard", "--listen", f"127.0.0.1:{cluster.web}",
                              "--gcs-address", f"127.0.0.1:{cluster.port}",
                              "--session-dir", str(cluster.session)], env=cluster.env)
    try:
        assert "at the end\n" in follower.communicate(timeout=30)[0]
        assert follower.returncode == 0
    finally:
        again.kill()
        again.wait()


def daemon(cluster, role, *words):
    return subprocess.Popen(["mobula", role, *map(str, words)], env=cluster.env,
                            stderr=subprocess.DEVNULL)


def test_a_job_that_comes_before_its_node(home):
    """It waits, and runs once the head's raylet is there; a dashboard ends with its followers."""
    cluster = Cluster(home)
    session = "session_2026-11-22_12-00-00_000000_1"
    temp = home / "ray"
    gcs = f"127.0.0.1:{cluster.port}"
    web = f"127.0.0.1:{cluster.web}"
    running = [daemon(cluster, "gcs", "--listen", gcs, "--temp-dir", temp, "--session-name",
                      session, "--dashboard-url", web)]
    try:
        wait_until(lambda: cluster.ray("health-check", "--address", gcs).returncode == 0, "gcs")
        dashboard = daemon(cluster, "dashboard", "--listen", web, "--gcs-address", gcs,
                           "--session-dir", temp / session)
        running.append(dashboard)

        def up():
            try:
                return cluster.http("/api/gcs_healthz")[0] == 200
            except OSError:
                return False

        wait_until(up, "the dashboard")
        submit(cluster, "--no-wait", "--submission-id", "early", "--", "echo", "now")
        assert status(cluster, "early") == "PENDING"
        running.append(daemon(cluster, "raylet", "--head", "--gcs-address", gcs, "--temp-dir",
                              temp, "--resources", '{"CPU":1,"object_store_memory":80000000}'))
        assert finish(cluster, "early") == "SUCCEEDED"
        submit(cluster, "--no-wait", "--submission-id", "long", "--", "sleep", "300")
        follower = follow(cluster, home / "long", "logs", "--follow", "long")
        wait_until(lambda: "Running entrypoint" in (home / "long").read_text(), "the log")
        dashboard.terminate()
        assert dashboard.wait(10) == 0
        follower.kill()
        follower.wait()
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait()
        cluster.end_processes(signal.SIGKILL)


def test_setting_up_ends_in_its_time(shared_cluster):
    """The archive's server takes the request and says nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        env = {"working_dir": f"http://127.0.0.1:{server.getsockname()[1]}/a.zip",
               "config": {"setup_timeout_seconds": 1}}
        done = shared_cluster.job("submit", "--runtime-env-json", json.dumps(env), "--", "true")
    assert done.returncode == 1
    assert "Failed to install runtime_env within the timeout of 1 seconds: download http" in (
        done.stdout + done.stderr), done.stdout + done.stderr
