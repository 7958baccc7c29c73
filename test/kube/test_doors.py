# SPDX-License-Identifier: Apache-2.0
"""The ways into a pod that runs: exec, with a terminal too, edit, WebSockets through the proxy."""
import base64
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import textwrap
import time

import pytest

from conftest import BUILD, Kubectl, wait_for

pytestmark = pytest.mark.embedded

ECHO = textwrap.dedent("""
    import base64, hashlib, socket
    server = socket.create_server(("0.0.0.0", 8000))
    while True:
        peer, _ = server.accept()
        head = b""
        while b"\\r\\n\\r\\n" not in head:
            head += peer.recv(4096)
        lines = dict(l.split(": ", 1) for l in head.decode().split("\\r\\n")[1:] if ": " in l)
        lines = {k.lower(): v for k, v in lines.items()}
        proof = base64.b64encode(hashlib.sha1((lines["sec-websocket-key"] +
            "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        peer.sendall(("HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\n"
                      "Connection: Upgrade\\r\\nSec-WebSocket-Accept: " + proof +
                      "\\r\\n\\r\\n").encode())
        frame = peer.recv(4096)
        size, mask = frame[1] & 127, frame[2:6]
        text = bytes(b ^ mask[i % 4] for i, b in enumerate(frame[6:6 + size]))
        reply = text.upper() + b" " + head.split(b" ")[1]
        peer.sendall(bytes([0x81, len(reply)]) + reply)
        peer.close()
""")


def pod(name, *containers, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                     "containers": list(containers), **spec}}


def container(name, *command):
    return {"name": name, "image": "local/none:1", "command": list(command)}


PODS = [pod("p", container("c", "sleep", "600")),
        pod("late", container("c", "sleep", "600"),
            initContainers=[container("i", "sleep", "600")]),
        pod("echo", container("c", "python3", "-c", ECHO))]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """kubectl for a cluster of its own, with PODS in it."""
    if os.environ.get("KUBECONFIG"):
        pytest.skip("about the embedded Kubernetes only")
    if os.geteuid() != 0:
        pytest.skip("node-agent: needs root to make a bridge")
    folder = tmp_path_factory.mktemp("doors")
    env = {**os.environ, "MOBULA_RUN_DIR": str(folder / "run")}
    (folder / "pods.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List",
                                                  "items": PODS}))
    up = subprocess.run([BUILD / "bin/mobula", "run", "--keep", folder / "pods.json"], env=env,
                        capture_output=True, text=True, timeout=60)
    try:
        said = re.search(r"export KUBECONFIG=(\S+)", up.stdout + up.stderr)
        assert up.returncode == 0 and said, up.stdout + up.stderr
        kubectl = Kubectl(said[1])
        kubectl("wait", "pod/p", "pod/echo", "--for=condition=Ready", "--timeout=30s")
        yield kubectl
    finally:
        subprocess.run([BUILD / "bin/mobula", "down"], env=env, check=True, timeout=60)


def test_exec_streams_and_codes(cluster):
    done = cluster.run("exec", "-i", "p", "--", "sh", "-c", "cat; echo no >&2; exit 3",
                       stdin="yes\n", check=False)
    assert (done.stdout, done.returncode) == ("yes\n", 3)
    assert done.stderr == "no\ncommand terminated with exit code 3\n"


def test_exec_says_why_not(cluster):
    wait_for(lambda: cluster.json("get", "pod", "late")["status"].get("initContainerStatuses"))
    said = cluster.fails("exec", "late", "-c", "c", "--", "true")
    assert 'unable to upgrade connection: container not found ("c")' in said
    assert "container x is not valid for pod p" in cluster.fails("exec", "p", "-c", "x", "--", "ls")
    assert 'pods "gone" not found' in cluster.fails("exec", "gone", "--", "ls")


class Terminal:
    """A command with a terminal of 33 by 99."""

    def __init__(self, *command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
        self.seen = b""

    def until(self, text, seconds=20):
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], self.seen
            self.seen += os.read(self.fd, 4096)

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        try:
            while os.read(self.fd, 4096):
                pass
        except OSError:
            pass  # how a terminal tells its end
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_terminal(cluster):
    terminal = Terminal(*cluster.base, "exec", "-it", "p", "--", "sh", "-c",
                        "test -t 0 && test -t 1 && echo go$((1+1)); exec sh")
    terminal.until(b"go2")
    terminal.type(b"test -c \"$(tty)\" && echo name$((1+1))\n")  # of the pod's own /dev/pts
    terminal.until(b"name2")
    terminal.type(b"until [ \"$(stty size)\" = '33 99' ]; do sleep 0.1; done; echo size$((1+1))\n")
    terminal.until(b"size2")
    terminal.type(b"echo on$((1+1)); cat\n")
    terminal.until(b"on2")
    terminal.type(b"round\n")
    terminal.until(b"round\r\nround\r\n")  # the echo, then cat's
    terminal.type(b"\x03")
    terminal.until(b"^C\r\n")  # the shell's: cat could still read what is typed now
    terminal.type(b"echo in$((2+2))t\n")
    terminal.until(b"in4t")
    terminal.type(b"exit 7\n")
    assert terminal.end() == 7


def make(cluster, name, *command, **streams):
    """A pod whose only container has standard streams."""
    cluster("apply", "-f", "-", stdin=json.dumps(pod(name, {**container("c", *command),
                                                            **streams})))
    cluster("wait", f"pod/{name}", "--for=jsonpath={.status.containerStatuses[0].state.running}",
            "--timeout=30s")


def phase(cluster, name):
    return cluster.json("get", "pod", name)["status"].get("phase")


def test_attach_input_that_is_opened_once(cluster):
    """It ends with its first session, and waits for that till then."""
    make(cluster, "once", "sh", "-c", "cat; echo end $?; echo no >&2", stdin=True, stdinOnce=True)
    done = cluster.run("attach", "-i", "once", stdin="one\ntwo\n")
    assert done.stdout == "one\ntwo\nend 0\n"
    assert "no\n" in done.stderr
    wait_for(lambda: phase(cluster, "once") == "Succeeded", what="its end")
    assert cluster("logs", "once") == "one\ntwo\nend 0\nno\n"
    assert "cannot attach a container in a completed pod" in cluster.fails("attach", "once")


def attach(cluster, *words):
    return subprocess.Popen([*cluster.base, "attach", *words], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_attach_again_and_by_several(cluster):
    make(cluster, "often", "sh", "-c", "while read x; do echo got $x; done", stdin=True)
    first, second = attach(cluster, "-i", "often"), attach(cluster, "-i", "often")
    first.stdin.write("a\n")
    first.stdin.flush()
    assert first.stdout.readline() == "got a\n"
    second.stdin.write("b\n")
    second.stdin.flush()
    assert first.stdout.readline() == "got b\n"  # what one says both hear
    while second.stdout.readline() != "got b\n":
        pass
    first.kill()
    first.wait()
    second.stdin.write("c\n")
    second.stdin.flush()
    assert second.stdout.readline() == "got c\n"  # the input did not end with the first
    second.kill()
    second.wait()
    assert phase(cluster, "often") == "Running"
    assert cluster("logs", "often") == "got a\ngot b\ngot c\n"


def test_attach_to_a_slow_reader_loses_nothing(cluster):
    make(cluster, "much", "sh", "-c", "read x; seq 1000000; echo over", stdin=True)
    reader = attach(cluster, "-i", "much")
    reader.stdin.write("go\n")
    reader.stdin.flush()
    assert reader.stdout.readline() == "1\n"
    # Unread, some of it waits in the container and none is lost; meanwhile the pod is served.
    assert cluster("exec", "much", "--", "echo", "served") == "served\n"
    reader.stdin.close()
    complete = reader.stdout.read() == "".join(f"{i}\n" for i in range(2, 1000001)) + "over\n"
    assert complete and reader.wait(60) == 0
    wait_for(lambda: phase(cluster, "much") == "Succeeded", what="its end")


def test_attach_to_a_terminal(cluster):
    make(cluster, "term", "sh", stdin=True, tty=True)
    terminal = Terminal(*cluster.base, "attach", "-it", "term")
    terminal.type(b"test -c \"$(tty)\" && echo name$((1+1))\n")
    terminal.until(b"name2")
    terminal.type(b"until [ \"$(stty size)\" = '33 99' ]; do sleep 0.1; done; echo size$((1+1))\n")
    terminal.until(b"size2")
    terminal.type(b"cat\n")
    terminal.type(b"round\n")
    terminal.until(b"round\r\nround\r\n")
    terminal.type(b"\x03")
    terminal.until(b"^C\r\n")
    terminal.type(b"echo bye$((1+1)); exit 3\n")
    terminal.until(b"bye2")
    assert terminal.end() == 0
    wait_for(lambda: phase(cluster, "term") == "Failed", what="its end")
    assert "bye2" in cluster("logs", "term")


def test_run_with_input(cluster):
    done = cluster.run("run", "piped", "-i", "--rm", "--restart=Never", "--image=local/none:1",
                       "--command", "--", "sh", "-c", "cat; echo that was all", stdin="in\n")
    assert done.stdout.startswith("in\nthat was all\n"), done
    assert 'pods "piped" not found' in cluster.fails("get", "pod", "piped")


def test_edit(cluster, tmp_path, monkeypatch):
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/^metadata:$/&\\n  labels: {edited: \"yes\"}/' \"$1\"\n")
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    assert "pod/p edited" in cluster("edit", "pod", "p")
    assert cluster.json("get", "pod", "p")["metadata"]["labels"] == {"edited": "yes"}
    monkeypatch.setenv("EDITOR", "true")
    assert "no changes made" in cluster.run("edit", "pod", "p").stderr


@pytest.mark.parametrize("what, told", [
    ("pod", "Which version of which API the object is in."),
    ("pod.spec.containers", "The command, instead of the image's."),
    ("rayjob", "Which version of which API the object is in."),
    ("rayjob.spec", "The command line of the job.")])
def test_explain(cluster, what, told):
    assert told in cluster("explain", what)


@pytest.fixture
def proxy_port(cluster):
    process = subprocess.Popen([*cluster.base[:2], "proxy", "--port=0"], stdout=subprocess.PIPE,
                               text=True)
    yield int(re.search(r":(\d+)$", process.stdout.readline().strip())[1])
    process.terminate()
    process.wait(10)


def test_web_socket_through_the_proxy(proxy_port):
    key = base64.b64encode(os.urandom(16)).decode()
    proof = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    peer = socket.create_connection(("127.0.0.1", proxy_port), timeout=20)
    peer.sendall(("GET /api/v1/namespaces/default/pods/echo:8000/proxy/talk?a=b HTTP/1.1\r\n"
                  f"Host: 127.0.0.1:{proxy_port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += peer.recv(1)
    assert head.startswith(b"HTTP/1.1 101") and base64.b64encode(proof) in head
    peer.sendall(bytes([0x81, 0x85, 0, 0, 0, 0]) + b"hello")
    wanted = bytes([0x81, 15]) + b"HELLO /talk?a=b"
    got = b""
    while len(got) < len(wanted):
        got += peer.recv(len(wanted) - len(got))
    assert got == wanted
    peer.close()


def test_python_clients_doors(cluster):
    """exec and port-forward of the kubernetes package: v4.channel.k8s.io."""
    config = pytest.importorskip("kubernetes.config")
    from kubernetes import client, stream
    kubeconfig = next(word for word in cluster.base if "kubeconfig=" in word).split("=", 1)[1]
    core = client.CoreV1Api(config.new_client_from_config(kubeconfig))
    run = stream.stream(core.connect_get_namespaced_pod_exec, "p", "default", stdin=True,
                        command=["sh", "-c", "read x; echo got $x; exit 3"], stdout=True,
                        stderr=True, tty=False, _preload_content=False)
    run.write_stdin("it\n")
    run.run_forever(timeout=20)
    assert (run.read_stdout(), run.returncode) == ("got it\n", 3)
    ports = stream.portforward(core.connect_get_namespaced_pod_portforward, "echo", "default",
                               ports="8000,8001")
    peer = ports.socket(8000)
    peer.settimeout(20)
    peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    assert b"101 Switching Protocols" in peer.recv(200)
    wait_for(lambda: ports.error(8001), what="the port where nobody listens")
