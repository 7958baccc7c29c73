# SPDX-License-Identifier: Apache-2.0
import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from conftest import (
    MOBULA, Agent, container, end, leftovers, needs_kubectl, pod, tag, wait_line, wait_until)

# "Started" says that the program runs; that it has set itself up, only the program can say.
UP = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1}
READY = r'"type":"Ready","status":"True"'


def test_a_port_that_is_none_is_refused():
    done = subprocess.run([MOBULA, "node-agent", "--port", "70000"], capture_output=True, text=True)
    assert done.returncode == 2 and "--port: wanted 0 to 65535, got 70000" in done.stderr


def test_a_pod_runs_and_reports(agent):
    r = agent.run(pod("p", container("echo out; echo err >&2; exit 0")))
    assert r.code == 0
    assert r.phases("p") == ["Pending", "Running", "Succeeded"]
    assert r.state("p")["terminated"]["reason"] == "Completed"
    assert sorted(r.log("p").split()) == ["err", "out"]
    assert r.reasons()[:3] == ["Pulled", "Created", "Started"]
    assert "not pulled: the pod sees this host's system" in r.events[0][4]


def test_exit_codes_and_reasons(agent):
    r = agent.run(
        pod("three", container("exit 3")),
        pod("killed", container("kill -9 $$$$")),
        pod("nothing", {"name": "main", "image": "x", "command": ["no-such-program"]}),
        pod("oom", container("exec python3 -c 'x = bytearray(200 << 20)'",
                             resources={"limits": {"memory": "32Mi"}})),
    )
    assert r.code == 1
    assert r.state("three")["terminated"]["exitCode"] == 3
    assert r.state("three")["terminated"]["reason"] == "Error"
    assert r.state("killed")["terminated"]["exitCode"] == 137
    assert r.state("nothing")["terminated"]["reason"] == "StartError"
    assert r.state("nothing")["terminated"]["exitCode"] == 128
    assert "executable file not found in $PATH" in r.state("nothing")["terminated"]["message"]
    assert r.state("oom")["terminated"]["reason"] == "OOMKilled"
    assert r.state("oom")["terminated"]["exitCode"] == 137


def test_own_namespaces(agent):
    r = agent.run(pod("ns", container(
        "hostname; getent hosts $(hostname) | cut -d' ' -f1; echo $IP; ls /proc | grep -c '^[0-9]';"
        "echo x > /etc/made-by-pod; echo y > /dev/shm/f; ls /dev/shm; id -u; echo $HOME; touch $HOME/f",
        env=[{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}])))
    lines = r.log("ns").split()
    assert lines[0] == "ns"
    assert lines[1] == lines[2] and lines[1].startswith("10.177.0.")
    assert int(lines[3]) < 8
    assert lines[4:] == ["f", "0", "/home/ray"]
    assert r.code == 0
    assert not os.path.exists("/etc/made-by-pod")


def test_programs_in_tmp_are_seen_in_a_pod_of_its_own_tmp(agent):
    folder = pathlib.Path(tempfile.mkdtemp(dir="/tmp", prefix="installed-"))
    try:
        (folder / "python").mkdir()
        (folder / "python" / "thing.py").write_text("print('imported')")
        agent.options = ["--env", f"PYTHONPATH={folder}/python"]
        r = agent.run(pod("p", container(
            f"python3 -m thing; touch {folder}/no || echo refused; touch /tmp/own; ls /tmp")))
        assert r.code == 0, r.text
        lines = r.log("p").splitlines()
        assert lines[0] == "imported" and "refused" in lines
        assert {folder.name, "own"} <= set(lines)
    finally:
        shutil.rmtree(folder)


def test_pods_reach_each_other_and_the_host(agent):
    server = "import http.server as h; h.HTTPServer(('', 8000), h.SimpleHTTPRequestHandler).serve_forever()"
    process = agent.start(
        pod("server", container(f"exec python3 -c \"{server}\"",
                                readinessProbe={"httpGet": {"port": 8000}, "periodSeconds": 1})),
        keep=True)
    text = wait_line(process, r'"type":"Ready","status":"True"')
    ip = text.rsplit('"podIP":"', 1)[1].split('"')[0]
    assert b"200 OK" in subprocess.run(["curl", "-si", "--noproxy", "*", f"http://{ip}:8000/"],
                                       env={**os.environ, "LD_PRELOAD": ""},  # it hangs under ASan
                                       stdout=subprocess.PIPE).stdout
    end(process)
    done = agent.run(pod("client", container(
        f"python3 -c \"import urllib.request as u; print(u.build_opener(u.ProxyHandler({{}})).open('http://{ip}:8000').status)\"")))
    assert done.log("client") == "200\n"


def test_volumes(agent):
    secret = {"kind": "Secret", "metadata": {"name": "s"},
              "data": {"k": base64.b64encode(b"hidden").decode()}}
    config = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}}
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "data", "uid": "claim-1"}}
    mounts = [{"name": n, "mountPath": f"/v/{n}"} for n in
              ("config", "secret", "empty", "memory", "down", "both", "claim")]
    mounts.append({"name": "config", "mountPath": "/v/one/file", "subPath": "a"})
    r = agent.run(secret, config, claim, pod("vol", container(
        "cat /v/config/x/b /v/secret/k /v/both/a /v/both/labels; echo; stat -c %a -L /v/config/x/b;"
        "cat /v/one/file; echo; ls /v/config; echo 1 > /v/empty/f; echo 2 >> /v/claim/f;"
        "df -k --output=size,fstype /v/memory | tail -1; cat /v/down/name; echo;"
        "touch /v/config/new 2>/dev/null || echo read-only", volumeMounts=mounts),
        volumes=[
            {"name": "config", "configMap": {"name": "c", "items": [
                {"key": "a", "path": "a"}, {"key": "b", "path": "x/b", "mode": 0o400}]}},
            {"name": "secret", "secret": {"secretName": "s"}},
            {"name": "empty", "emptyDir": {}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
            {"name": "down", "downwardAPI": {"items": [
                {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"name": "both", "projected": {"sources": [
                {"configMap": {"name": "c"}},
                {"downwardAPI": {"items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}},
        ]))
    lines = r.log("vol").split("\n")
    assert lines[0] == '2hidden1app="vol"'
    assert lines[1:5] == ["400", "1", "a", "x"]
    assert lines[5].split() == ["8192", "tmpfs"]
    assert lines[6:8] == ["vol", "read-only"]
    assert r.code == 0


def test_sub_paths(agent):
    mounts = [{"name": "memory", "mountPath": "/part", "subPath": "a/b"},
              {"name": "memory", "mountPath": "/whole"}]
    volumes = [{"name": "memory", "emptyDir": {"medium": "Memory"}},
               {"name": "disk", "emptyDir": {}}]
    out = [{"name": "disk", "mountPath": "/v"}]
    r = agent.run(
        pod("sub", container("echo 1 > /part/f; cat /whole/a/b/f; stat -f -c %T /part",
                             volumeMounts=mounts), volumes=volumes),
        pod("out", container("never", volumeMounts=[{"name": "disk", "mountPath": "/part",
                                                     "subPath": "link/tmp"}]),
            inits=[container("ln -s / /v/link", "i", volumeMounts=out)], volumes=volumes))
    assert r.log("sub").split() == ["1", "tmpfs"]
    ended = r.state("out")["terminated"]
    assert ended["reason"] == "StartError" and "leads out of the volume" in ended["message"]


def test_last_words(agent):
    """terminationMessagePath and terminationMessagePolicy."""
    r = agent.run(pod("w",
                      container("echo -n why > /dev/termination-log; exit 3", "file"),
                      container("echo -n why > /words; exit 3", "path",
                                terminationMessagePath="/words"),
                      container("echo last; exit 4", "log",
                                terminationMessagePolicy="FallbackToLogsOnError"),
                      container("echo fine", "good",
                                terminationMessagePolicy="FallbackToLogsOnError")))
    said = [status["state"]["terminated"].get("message")
            for status in r.last("w")["containerStatuses"]]
    assert said == ["why", "why", "last\n", None]


def test_active_deadline(agent):
    begin = time.monotonic()
    r = agent.run(pod("late", container("sleep 300"), activeDeadlineSeconds=1))
    assert time.monotonic() - begin < 10
    assert r.phases("late") == ["Pending", "Running", "Failed"]
    assert r.last("late")["reason"] == "DeadlineExceeded"
    assert r.last("late")["message"] == ("Pod was active on the node longer than the specified "
                                         "deadline")
    assert r.state("late")["terminated"]["exitCode"] == 143
    assert "DeadlineExceeded" in r.reasons()


def test_users_and_rights(agent):
    r = agent.run(pod("u", container(
        "id -u; id -g; id -G; grep CapEff /proc/self/status | cut -f2; touch /x 2>/dev/null || echo fixed;"
        "touch /v/f && stat -c %g /v/f",
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
        securityContext={"readOnlyRootFilesystem": True, "runAsGroup": 70}),
        securityContext={"runAsUser": 1000, "fsGroup": 50, "supplementalGroups": [60]},
        volumes=[{"name": "v", "emptyDir": {}}]))
    lines = r.log("u").splitlines()
    assert lines[:2] == ["1000", "70"] and set(lines[2].split()) == {"70", "50", "60"}
    assert int(lines[3], 16) == 0
    assert lines[-2:] == ["fixed", "50"]


def test_root_is_refused_where_it_is_not_wanted(agent):
    process = agent.start(pod("root", container("true"), securityContext={"runAsNonRoot": True}))
    text = wait_line(process, r'"reason":"CreateContainerConfigError"')
    assert "container has runAsNonRoot and image will run as root" in text
    end(process)


def test_a_fork_bomb_stays_in_its_container(agent):
    """It gets no more processes, and the pod ends as any other."""
    bomb = ("import os, time\nn = 0\ntry:\n  while True:\n    if os.fork() == 0: time.sleep(300)\n"
            "    n += 1\nexcept BlockingIOError: print(n)")
    agent.options = ["--max-pids", "60"]
    r = agent.run(pod("bomb", {**container(""), "command": ["python3", "-S", "-c", bomb]}))
    assert 50 < int(r.log("bomb")) < 60
    assert r.state("bomb")["terminated"]["exitCode"] == 0


def test_names_are_looked_up_as_the_pod_asks(agent):
    config = {"nameservers": ["192.0.2.1"], "searches": ["example.org"],
              "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}
    show = container("cat /etc/resolv.conf")
    r = agent.run(pod("cluster", show, dnsConfig=config),
                  pod("own", show, dnsPolicy="None", dnsConfig=config),
                  pod("host", container("getent hosts one | cut -d' ' -f1; cat /etc/resolv.conf"),
                      dnsPolicy="Default", hostAliases=[{"ip": "192.0.2.9", "hostnames": ["one"]}]))
    assert r.log("cluster").splitlines() == [
        "search default.svc.cluster.local svc.cluster.local cluster.local example.org",
        "nameserver 10.177.0.1", "nameserver 192.0.2.1", "options ndots:2 edns0"]
    assert r.log("own").splitlines() == [
        "search example.org", "nameserver 192.0.2.1", "options ndots:2 edns0"]
    assert r.log("host").startswith("192.0.2.9\n") and "10.177.0.1" not in r.log("host")


def test_a_missing_config_map_is_said(agent):
    process = agent.start(pod("wait", container("true"),
                              volumes=[{"name": "v", "configMap": {"name": "gone"}}]))
    wait_line(process, r'FailedMount: MountVolume.SetUp failed for volume "v": configmap "gone" not found')
    end(process)


def test_init_containers_and_sidecars(agent):
    r = agent.run(pod(
        "init",
        container("cat /w/order; echo main"),
        inits=[container("echo one >> /w/order", "one", volumeMounts=[{"name": "w", "mountPath": "/w"}]),
               container("echo side >> /w/order; trap 'exit 0' TERM; while :; do sleep 0.1; done",
                         "side", restartPolicy="Always",
                         volumeMounts=[{"name": "w", "mountPath": "/w"}],
                         startupProbe={"exec": {"command": ["grep", "side", "/w/order"]},
                                       "periodSeconds": 1}),
               container("echo two >> /w/order", "two", volumeMounts=[{"name": "w", "mountPath": "/w"}])],
        volumes=[{"name": "w", "emptyDir": {}}]) | {})
    # main does not mount /w: it fails, and the pod with it, after the sidecar was ended
    assert "main\n" in r.log("init")
    assert r.state("init", 0, "initContainerStatuses")["terminated"]["reason"] == "Completed"
    assert r.state("init", 1, "initContainerStatuses")["terminated"]["exitCode"] == 0
    assert r.phases("init")[-1] == "Succeeded"


def test_a_failed_init_container_fails_the_pod(agent):
    r = agent.run(pod("bad", container("echo never"), inits=[container("exit 7", "i")]))
    assert r.phases("bad") == ["Pending", "Failed"]
    assert r.last("bad")["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"


def test_restarts_with_back_off(agent):
    process = agent.start(pod("crash", container("exit 1"), restart="Always"))
    text = wait_line(process, r"CrashLoopBackOff")
    assert "back-off 10s restarting failed container=main pod=crash_default" in text
    assert '"restartCount":1' in text
    end(process)


def test_liveness_restarts_and_readiness_gates(agent):
    process = agent.start(pod("live", container(
        "touch /tmp/ok; sleep 100",
        livenessProbe={"exec": {"command": ["sh", "-c", "echo dead; exit 1"]}, "periodSeconds": 1,
                       "failureThreshold": 4},
        readinessProbe={"exec": {"command": ["cat", "/tmp/ok"]}, "periodSeconds": 1}),
        restart="Always", terminationGracePeriodSeconds=1))
    text = wait_line(process, r'"restartCount":1.*"started":true')
    assert "Unhealthy: Liveness probe failed: dead" in text
    assert "Killing: Container main failed liveness probe, will be restarted" in text
    assert '"type":"Ready","status":"True"' in text
    end(process)


def test_https_probes(agent):
    """The certificate is nobody's business, as with the kubelet."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here")
    serve = ("import http.server as h, ssl\n"
             "s = h.HTTPServer(('', 8443), h.SimpleHTTPRequestHandler)\n"
             "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('/tmp/c', '/tmp/k')\n"
             "s.socket = c.wrap_socket(s.socket, server_side=True)\ns.serve_forever()")
    process = agent.start(pod("tls", container(
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout /tmp/k -out /tmp/c "
        f"2>/dev/null; exec python3 -c \"{serve}\"",
        readinessProbe={"httpGet": {"scheme": "HTTPS", "port": 8443}, "periodSeconds": 1,
                        "timeoutSeconds": 5})))
    wait_line(process, READY)
    end(process)


def test_pre_stop_and_grace(agent):
    process = agent.start(pod("stop", container(
        "trap 'echo got-term; exit 5' TERM; touch /tmp/up; while :; do sleep 0.05; done",
        readinessProbe=UP,
        lifecycle={"preStop": {"exec": {"command": ["sh", "-c", "echo pre > /proc/1/root/tmp/x; sleep 0.2"]}}}),
        terminationGracePeriodSeconds=20))
    wait_line(process, READY)
    begin = time.monotonic()
    text = end(process)
    assert time.monotonic() - begin < 10
    assert '"exitCode":5' in text


def test_a_program_that_ignores_term_is_killed_after_its_grace(agent):
    process = agent.start(pod("deaf", container("trap '' TERM; touch /tmp/up; while :; do sleep 0.1; done",
                                                readinessProbe=UP),
                              terminationGracePeriodSeconds=1))
    wait_line(process, READY)
    begin = time.monotonic()
    text = end(process)
    assert 0.9 < time.monotonic() - begin < 4
    assert '"exitCode":137' in text


def test_a_killed_agent_leaves_the_pod_and_the_next_one_adopts_it(agent):
    process = agent.start(pod("stay", container("echo one; while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 4"),
                              restart="Never"), keep=True)
    text = wait_line(process, r'"phase":"Running"')
    ip = text.rsplit('"podIP":"', 1)[1].split('"')[0]
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = agent.start(*[pod("stay", container("unused"))], keep=True)
    text = wait_line(again, r'"phase":"Running"')
    assert f'"podIP":"{ip}"' in text
    assert "Created" not in text
    end(again)
    # a third agent sees the end that nobody watched
    pods = agent.folder / "state" / "pods"
    (next(pods.glob("*/containers/main/0/tmp")) / "go").touch()
    r = agent.start(pod("stay", container("unused")), keep=False)
    text = wait_line(r, r'"exitCode":4')
    end(r)


def test_what_dead_agents_left_is_removed_by_the_next_one(agent, tmp_path):
    """Their state folders are gone: nobody will open them again."""
    other = Agent(tmp_path / "other")
    (tmp_path / "other").mkdir()
    process = other.start(pod("p", container("true")), keep=True)
    wait_line(process, r'"phase":"Succeeded"')
    process.kill()
    process.wait()
    left = leftovers(other.state)
    assert any(item.startswith("mb-") for item in left) and "mobula_" + tag(other.state) in left
    shutil.rmtree(other.state)
    groups = [item for item in left if item.startswith("/sys/fs/cgroup")]
    for group in groups:  # one that is young may be about to be used
        os.utime(group, (1, 1))
    agent.run(pod("p", container("true")))
    assert leftovers(other.state) == []


def test_a_killed_keeper_ends_the_pod_cleanly(agent):
    process = agent.start(pod("lost", container("sleep 300"), restart="Never"), keep=True)
    wait_line(process, r'"phase":"Running"')
    keeper, = keepers_of(agent)
    os.kill(keeper, signal.SIGKILL)
    text = wait_line(process, r'"phase":"Failed"')
    assert '"exitCode":137' in text and "keeper process was killed" in text
    end(process)


def test_purge_ends_a_keeper_that_does_not_obey(agent):
    process = agent.start(pod("p", container("sleep 300")), keep=True)
    wait_line(process, r'"phase":"Running"')
    end(process, signal.SIGKILL)
    keeper, = keepers_of(agent)
    os.kill(keeper, signal.SIGSTOP)
    agent.purge()
    assert leftovers(agent.state) == []


def test_purge_says_when_something_of_a_pod_is_left(agent):
    held = agent.folder / "state" / "pods" / "uid" / "held"
    held.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", held], check=True)
    try:
        done = subprocess.run(agent.command("--purge"), text=True, stderr=subprocess.PIPE)
        assert done.returncode == 1 and "pod uid is not all gone" in done.stderr
    finally:
        subprocess.run(["umount", held], check=True)


@needs_kubectl
def test_pods_of_a_former_agent_hold_up_no_others(agent, tmp_path):
    """Their keepers do not obey, so that ending one takes the agent two seconds."""
    server = subprocess.Popen([MOBULA, "apiserver", "--state", tmp_path / "api"])
    agent.processes.append(server)
    config = tmp_path / "api" / "kubeconfig"

    def kubectl(*words, text=None):
        return subprocess.run(["kubectl", f"--kubeconfig={config}", *words], text=True, input=text,
                              capture_output=True)

    def start_agent():
        agent.processes.append(subprocess.Popen(agent.command(
            "--kubeconfig", config, "--nodes", "1x8cpu,8Gi",
            "--token-file", tmp_path / "api" / "agent.token")))
        return agent.processes[-1]

    def create(*names):
        pods = [{"apiVersion": "v1", **pod(name, container("exec sleep 300"))} for name in names]
        done = kubectl("create", "-f", "-", text=json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": pods}))
        assert done.returncode == 0, done.stderr

    def running(*names):
        text = kubectl("get", "pods", "-o", "json", *names).stdout
        items = json.loads(text)["items"] if len(names) > 1 else [json.loads(text)]
        return all(item["status"].get("phase") == "Running" for item in items)

    folders = pathlib.Path(agent.state) / "pods"
    former = ["a", "b", "c", "d", "e", "f", "g", "h"]
    wait_until(lambda: kubectl("get", "--raw", "/readyz").returncode == 0, "the API server")
    process = start_agent()
    create(*former)
    wait_until(lambda: running(*former), "the pods to run")
    end(process, signal.SIGKILL)
    keepers = keepers_of(agent)
    assert len(keepers) == len(former)
    for keeper in keepers:
        os.kill(keeper, signal.SIGSTOP)
    uids = {entry.name for entry in folders.iterdir()}
    assert kubectl("delete", "pods", "--force", "--grace-period=0", *former).returncode == 0

    process = start_agent()
    create("new")
    wait_until(lambda: running("new"), "the new pod to run")
    left = uids & {entry.name for entry in folders.iterdir()}
    assert left, "the new pod came after all the former ones had been ended"
    wait_until(lambda: not uids & {entry.name for entry in folders.iterdir()},
               "the former ones to end")
    assert not set(keepers) & set(keepers_of(agent))
    end(process)
    end(server)


def keepers_of(agent):
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and _comm(p) == "mobula-pod"
            and agent.state.encode() in open(f"/proc/{p}/cmdline", "rb").read()]


def _comm(pid):
    try:
        return open(f"/proc/{pid}/comm").read().strip()
    except OSError:
        return ""


def test_a_pod_starts_quickly(agent):
    """From the agent's first look at a pod to its program's first instruction."""
    process = agent.start(*[pod(f"fast-{i}", container("date +%s%N; sleep 5")) for i in range(4)],
                          keep=True)
    begin = None
    for line in process.stdout:
        if begin is None and line.startswith("status"):
            begin = time.monotonic()
        if line.startswith("status default/fast-3 Running"):
            break
    assert time.monotonic() - begin < 2
    end(process)
