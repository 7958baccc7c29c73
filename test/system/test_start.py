# SPDX-License-Identifier: Apache-2.0
"""`ray start`, `stop`, `status`, `health-check`."""
import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from conftest import BUILD, Cluster, free_port, lines, memory, sanitized, wait_until


def test_start_says_what_the_peer_says(home):
    cluster = Cluster(home)
    try:
        text = lines(cluster.start().stdout)
        assert text == [
            "Usage stats collection is disabled.",
            "Local node IP: 127.0.0.1",
            "--------------------",
            "Ray runtime started.",
            "--------------------",
            "Next steps",
            "Note: The following commands are intended for use on",
            "the head node or within the cluster network.",
            "To add another node to this Ray cluster, run",
            f"ray start --address='127.0.0.1:{cluster.port}'",
            "To connect to this Ray cluster:",
            "import ray",
            "ray.init(_node_ip_address='127.0.0.1')",
            "To submit a Ray job using the Ray Jobs CLI:",
            f"RAY_API_SERVER_ADDRESS='http://127.0.0.1:{cluster.web}' ray job submit "
            "--working-dir . -- python my_script.py",
            "See https://docs.ray.io/en/latest/cluster/running-applications/job-submission/"
            "index.html",
            "for more information on submitting Ray jobs to the Ray cluster.",
            "To terminate the Ray runtime, run",
            "ray stop",
            "To view the status of the cluster, use",
            "ray status",
            "To monitor and debug Ray, view the dashboard at",
            f"127.0.0.1:{cluster.web}",
            "If connection to the dashboard fails, check your firewall settings and network "
            "configuration.",
        ]
        again = cluster.ray(*cluster.start_words())
        assert again.returncode == 1
        assert f"Ray is trying to start at 127.0.0.1:{cluster.port}, but is already running" in \
            again.stderr
        assert (home / "ray" / "ray_current_cluster").read_text() == f"127.0.0.1:{cluster.port}"
    finally:
        done = cluster.stop()
    assert re.fullmatch(r"Stopped all \d+ Ray processes\.\n", done.stdout)
    assert cluster.stop().stdout == "Did not find any active Ray processes.\n"
    assert not (home / "ray" / "ray_current_cluster").exists()


def test_status(shared_cluster):
    done = shared_cluster.ray("status")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\nActive:\n 1 node_\w+\nPending:\n", done.stdout), done.stdout
    assert re.search(r"\n\nNode: (\w+) \(node_\1\)\n Usage:\n  0\.0/2\.0 CPU\n",
                     shared_cluster.ray("status", "-v").stdout)
    # Where the peer's second autoscaler would be on:
    newer = {"RAY_enable_autoscaler_v2": "1"}
    text = shared_cluster.ray("status", env=newer).stdout
    assert re.match(r"======== Autoscaler status: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} ========\n"
                    r"Node status\n-{63}\nActive:\n \(no active nodes\)\nIdle:\n 1 node_\w+\n"
                    r"Pending:\n \(no pending nodes\)\nRecent failures:\n \(no failures\)\n\n"
                    r"Resources\n-{63}\nTotal Usage:\n 0\.0/2\.0 CPU\n 0B/[\d.]+GiB memory\n"
                    r" 0B/76\.29MiB object_store_memory\n\nFrom request_resources:\n \(none\)\n"
                    r"Pending Demands:\n \(no resource demands\)\n$", text), text
    assert " Id: " in shared_cluster.ray("status", "-v", env=newer).stdout
    status = json.loads(shared_cluster.ray("status", "-o", "json").stdout)
    assert status["loadMetricsReport"]["usage"]["CPU"] == [0.0, 2.0]
    assert status["nodes"][0]["raylet"]["state"] == "ALIVE" and status["pendingDemands"] == []


def test_health_check_waits_for_a_head_that_comes_up(home):
    cluster = Cluster(home)
    result = {}

    def ask():
        result["done"] = cluster.ray("health-check", "--address", f"127.0.0.1:{cluster.port}")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        cluster.start()
        thread.join(30)
        assert result["done"].returncode == 0
    finally:
        cluster.stop()


def test_flags_that_kuberay_writes(home):
    """The command of a generated pod, with the resources of a real group."""
    cluster = Cluster(home)
    done = cluster.start("--metrics-export-port", free_port(), "--memory", "4000000000",
                         "--num-gpus=0", "--labels", "ray.io/node-group=headgroup",
                         "--resources", '{"Custom": 2}', "--ray-client-server-port", "20001",
                         "--disable-usage-stats", "--include-dashboard", "true")
    try:
        assert done.returncode == 0
        text = cluster.ray("status").stdout
        assert " 1 headgroup\n" in text and " 0.0/2.0 Custom\n" in text
        assert " 0B/3.73GiB memory\n" in text
    finally:
        cluster.stop()


def test_bad_command_lines(home):
    cluster = Cluster(home)
    for words, code, text in (
        (["start"], 1, "`--address` is a required flag unless starting a head node with `--head`."),
        (["start", "--address=127.0.0.1:1", "--port=5"], 1, "`--port` should only be specified"),
        (["start", "--head", "--resources={"], 1, "is not a valid JSON string"),
        (["start", "--head", "--num-cpus=x"], 2, "'x' is not a valid integer"),
        (["start", "--nope"], 2, "No such option '--nope'."),
        (["nope"], 2, "No such command 'nope'."),
        (["job", "status"], 2, "Missing argument 'JOB_ID'"),
        (["job", "submit"], 2, "Missing argument 'ENTRYPOINT...'"),
    ):
        if words[:2] == ["start", "--head"]:
            words = words + ["--node-ip-address=127.0.0.1", f"--port={cluster.port}"]
        done = cluster.ray(*words)
        assert done.returncode == code and text in done.stderr, (words, done.stderr)
    assert cluster.processes() == []


def test_an_open_cluster_needs_a_token(home):
    cluster = Cluster(home)
    words = [w for w in cluster.start_words() if "node-ip" not in w]
    done = cluster.ray(*words, "--node-ip-address=192.0.2.77")
    assert done.returncode == 1 and "ray get-auth-token --generate" in done.stderr
    assert cluster.ray("get-auth-token").returncode == 1
    token = cluster.ray("get-auth-token", "--generate").stdout
    assert re.fullmatch(r"[0-9a-f]{64}", token)
    assert cluster.ray("get-auth-token").stdout == token
    assert ((home / ".ray" / "auth_token").stat().st_mode & 0o777) == 0o600


def test_version():
    done = subprocess.run([BUILD / "bin" / "ray", "--version"], capture_output=True, text=True)
    assert done.stdout == "ray, version 2.60.0\n"


def test_two_nodes(home):
    cluster = Cluster(home)
    cluster.start()
    try:
        done = cluster.ray("start", f"--address=127.0.0.1:{cluster.port}",
                           "--node-ip-address=127.0.0.1", "--num-cpus=3",
                           f"--dashboard-agent-listen-port={free_port()}",
                           "--object-store-memory=80000000")
        assert done.returncode == 0, done.stdout + done.stderr
        assert lines(done.stdout)[-2:] == ["To terminate the Ray runtime, run", "ray stop"]
        wait_until(lambda: "/5.0 CPU" in cluster.ray("status").stdout, "the second node")
    finally:
        cluster.stop()
    assert cluster.processes() == []


def test_temp_dir(home):
    """What start prints finds the cluster again, and a start that fails takes nothing from it."""
    cluster, folder = Cluster(home), home / "elsewhere"
    words = [f"--temp-dir={folder}"]
    try:
        done = cluster.ray(*cluster.start_words(), *words)
        assert done.returncode == 0, done.stdout + done.stderr
        said = lines(done.stdout)
        assert f"ray status --address='127.0.0.1:{cluster.port}'" in said
        assert f"ray stop --temp-dir='{folder}'" in said
        latest = os.readlink(folder / "session_latest")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            failed = cluster.ray("start", "--head", f"--port={port}", *words,
                                 "--node-ip-address=127.0.0.1")
        assert failed.returncode == 1 and "Address already in use" in failed.stderr
        assert os.readlink(folder / "session_latest") == latest
        assert cluster.ray("stop").stdout == "Did not find any active Ray processes.\n"
    finally:  # a grace period that a clock can't hold is as good as a long one
        done = cluster.ray("stop", "--grace-period=99999999999999", *words)
    assert re.fullmatch(r"Stopped all \d+ Ray processes\.\n", done.stdout)


def test_gcs_keeps_room_for_its_records(shared_cluster):
    """Logs and packages that fill the disk do not end the head."""
    for name in ("gcs.db", "gcs.db-wal"):
        assert (shared_cluster.session / name).stat().st_blocks * 512 >= 4 << 20


def test_gcs_that_dies_while_the_node_starts_is_started_again(home):
    it = Cluster(home)
    started = subprocess.Popen(["ray", *it.start_words(), "--block"], env=it.env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: it.pid_of("raylet"), "the raylet's process")
        gcs = it.pid_of("gcs")
        os.kill(gcs, signal.SIGKILL)
        wait_until(lambda: it.pid_of("gcs") not in (None, gcs), "another gcs", 10)
        wait_until(lambda: it.pid_of("dashboard"), "the dashboard", 10)
        assert it.ray("health-check", "--address", f"127.0.0.1:{it.port}").returncode == 0
        assert started.poll() is None
    finally:
        started.terminate()
        started.wait(timeout=15)


@pytest.mark.skipif(sanitized(), reason="the memory is a sanitizer's")
def test_idle_daemons_are_small(cluster):
    done = cluster.job("submit", "--", "python", "-c",
                       "import ray; ray.init(); print(ray.get(ray.remote(lambda: 1).remote()))")
    assert done.returncode == 0, done.stdout + done.stderr
    daemons = [cluster.pid_of(role) for role in ("gcs", "raylet", "dashboard")]
    assert memory(daemons) <= 15_000


def test_port_0_takes_a_free_one(home):
    cluster = Cluster(home)
    words = [w for w in cluster.start_words() if not w.startswith(("--port", "--dashboard-agent"))]
    done = cluster.ray(*words, "--port=0")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        address = re.search(r"ray start --address='(127\.0\.0\.1:\d+)'", done.stdout).group(1)
        assert cluster.ray("health-check", "--address", address).returncode == 0
        # Another node of this machine takes another agent's port by itself, also two at once.
        nodes = [subprocess.Popen(["ray", "start", "--address", address, "--num-cpus=1",
                                   "--node-ip-address=127.0.0.1",
                                   "--object-store-memory=80000000"], env=cluster.env,
                                  stdout=subprocess.PIPE, text=True) for _ in range(2)]
        assert [node.communicate(timeout=30) and node.returncode for node in nodes] == [0, 0]
        wait_until(lambda: "/4.0 CPU" in cluster.ray("status").stdout, "three nodes")
    finally:
        cluster.stop()


def test_values_of_start_that_make_no_sense(home):
    cluster = Cluster(home)
    for flag, text in (
        ("--port=70000", "`--port=70000`: a port is a number between 0 and 65535."),
        ("--port=-5", "`--port=-5`: a port is a number between 0 and 65535."),
        ("--metrics-export-port=99999", "`--metrics-export-port=99999`: a port is"),
        ("--num-cpus=-1", "Resource quantities may not be negative. Violated by `--num-cpus=-1`."),
        ("--node-ip-address=no such host", "`--node-ip-address=no such host` is no address: "),
        ("--dashboard-host=no such host", "`--dashboard-host=no such host` is no address: "),
        ("--temp-dir=relative", "temp_dir must be absolute path or None."),
        ("--min-worker-port=5", "min_worker_port must be 0 or an integer between 1024 and 65535."),
        ("--max-worker-port=5000", "max_worker_port must be higher than min_worker_port."),
        ("--worker-port-list=7000,a", "worker_port_list must be a comma-separated list"),
        ("--worker-port-list=80", "Ports in worker_port_list must be between 1024 and 65535."),
        ("--ray-client-server-port=5", "ray_client_server_port must be an integer between 1024"),
        ("--labels=a", "`--labels=a` is not a valid string of key-value pairs, detailed error: "),
        ("--labels=a=!!!", "`--labels=a=!!!` is not a valid string of key-value pairs"),
        ("--object-store-memory=1", "the minimum allowed is 78643200 bytes"),
    ):
        done = cluster.ray(*cluster.start_words(), flag)
        assert done.returncode == 1 and text in done.stderr, (flag, done.stderr)
    done = cluster.ray("start", "--head", "--log-color=blue")
    assert done.returncode == 2 and "'blue' is not one of 'auto', 'false', 'true'." in done.stderr
    assert cluster.processes() == []


def test_a_session_is_its_users_own(home):
    cluster = Cluster(home)
    cluster.start()
    try:
        for name, mode in (("sockets", 0o700), ("runtime_resources", 0o700), ("gcs.db", 0o600),
                           ("gcs.db-wal", 0o600)):
            assert (cluster.session / name).stat().st_mode & 0o777 == mode, name
    finally:
        cluster.stop()


def test_a_blocked_start_that_is_interrupted(home):
    cluster = Cluster(home)
    head = subprocess.Popen(["ray", *cluster.start_words(), "--block"], env=cluster.env,
                            stdout=subprocess.PIPE, text=True)
    wait_until(lambda: cluster.ray("health-check").returncode == 0, "the head")
    head.send_signal(signal.SIGINT)
    assert head.wait(20) == 130
    assert cluster.processes() == []
