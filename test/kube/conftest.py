# SPDX-License-Identifier: Apache-2.0
"""Tests of an API server, any: the one KUBECONFIG names, or else the embedded one, started here.

What needs pods that run is marked `node` and skipped where no node is ready."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import uuid

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MOBULA_BUILD", TOP / "build"))


def pytest_configure(config):
    config.addinivalue_line("markers", "node: needs a node that runs pods")
    config.addinivalue_line("markers", "embedded: about the embedded server only")


def wait_for(condition, seconds=20, what="it"):
    """Polls, since the API may be remote; gives the first true value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


class Embedded:
    """`mobula apiserver` on a state folder of its own."""

    def __init__(self, state):
        self.state, self.process = state, None
        self.kubeconfig = state / "kubeconfig"

    def start(self, *options):
        log = open(self.state.parent / f"{self.state.name}.log", "ab")
        self.process = subprocess.Popen([BUILD / "bin/mobula", "apiserver", "--state", self.state,
                                         *options],
                                        stdout=log, stderr=log)
        wait_for(self.ready, what="the API server")

    def ready(self):
        if self.process.poll() is not None:
            log = (self.state.parent / f"{self.state.name}.log").read_text()
            raise AssertionError(f"the API server ended with {self.process.returncode}:\n{log}")
        return self.kubeconfig.exists() and subprocess.run(
            ["kubectl", f"--kubeconfig={self.kubeconfig}", "get", "--raw", "/readyz"],
            capture_output=True).returncode == 0

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(20)


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory):
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl in PATH")
    given = os.environ.get("KUBECONFIG")
    if given:
        yield given
        return
    server = Embedded(tmp_path_factory.mktemp("kube") / "state")
    server.state.mkdir()
    server.start()
    yield str(server.kubeconfig)
    assert server.stop() == 0


@pytest.fixture
def embedded(tmp_path):
    if os.environ.get("KUBECONFIG"):
        pytest.skip("about the embedded server only")
    server = Embedded(tmp_path / "state")
    server.state.mkdir()
    server.start()
    yield server
    if server.process.poll() is None:
        assert server.stop() == 0


class Kubectl:
    def __init__(self, kubeconfig):
        self.base = ["kubectl", f"--kubeconfig={kubeconfig}", "--request-timeout=30s"]

    def run(self, *words, stdin=None, check=True):
        text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
        done = subprocess.run([*self.base, *words], input=text, capture_output=True, text=True,
                              timeout=90)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.stderr}{done.stdout}")
        return done

    def __call__(self, *words, stdin=None):
        return self.run(*words, stdin=stdin).stdout

    def json(self, *words):
        return json.loads(self(*words, "-o", "json"))

    def fails(self, *words, stdin=None):
        done = self.run(*words, stdin=stdin, check=False)
        assert done.returncode, f"kubectl {' '.join(words)} was expected to fail: {done.stdout}"
        return done.stderr


@pytest.fixture(scope="session")
def kubectl(kubeconfig):
    return Kubectl(kubeconfig)


@pytest.fixture
def namespace(kubectl):
    name = f"t-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    # Elsewhere a controller makes the account that pods need a moment later.
    wait_for(lambda: kubectl.run("get", "sa", "default", "-n", name, check=False).returncode == 0)
    yield name
    kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="session")
def api(kubeconfig):
    kubernetes = pytest.importorskip("kubernetes")
    kubernetes.config.load_kube_config(config_file=kubeconfig)
    return kubernetes.client


@pytest.fixture(scope="session")
def has_node(kubectl):
    nodes = kubectl.json("get", "nodes")["items"]
    ready = [c for n in nodes for c in n["status"].get("conditions", [])
             if c["type"] == "Ready" and c["status"] == "True"]
    return bool(ready)


@pytest.fixture(autouse=True)
def _needs_node(request):
    if request.node.get_closest_marker("node") and not request.getfixturevalue("has_node"):
        pytest.skip("no node that runs pods")


class Operator:
    def __init__(self, kubeconfig, log, namespace="default"):
        self.command = [BUILD / "bin/mobula", "operator", "--kubeconfig", kubeconfig,
                        "--use-kubernetes-proxy", "--metrics-addr=0",
                        "--health-probe-bind-address=0", "--log-stdout-encoder=console",
                        f"--leader-election-namespace={namespace}"]
        self.log, self.process = log, None

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=open(self.log, "ab"))

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(20)


class OtherOperator:
    """One that leads the cluster already (OPERATOR=other): its clusters and jobs are looked at."""

    def stop(self, how=signal.SIGTERM):
        pytest.skip("the operator is not ours to end")


def wait_established(kubectl, name):
    """`kubectl wait` fails on a definition that has no conditions yet."""
    path = 'jsonpath={.status.conditions[?(@.type=="Established")].status}'
    wait_for(lambda: kubectl("get", "crd", name, "-o", path) == "True", what=name)


@pytest.fixture(scope="module")
def crds(kubectl):
    found = kubectl.run("get", "crd", "rayjobs.ray.io", check=False)
    if found.returncode:
        text = subprocess.run([BUILD / "bin/mobula", "operator", "--print-crds"],
                              capture_output=True, text=True, check=True).stdout
        kubectl("apply", "--server-side", "-f", "-", stdin=text)
    for name in ("rayclusters", "rayjobs", "rayservices"):
        wait_established(kubectl, f"{name}.ray.io")


@pytest.fixture(scope="module")
def operator(request, kubeconfig, kubectl, crds, tmp_path_factory):
    if os.environ.get("OPERATOR") == "other":
        if request.module.__name__ != "test_lifecycle":
            pytest.skip("about our operator only")
        yield OtherOperator()
        return
    lease = kubectl.run("get", "lease", "ray-operator-leader", "-n", "default", "-o",
                        "jsonpath={.spec.holderIdentity}", check=False)
    if lease.stdout:
        pytest.skip("another operator leads this cluster")
    log = tmp_path_factory.mktemp("operator") / "log"
    running = Operator(kubeconfig, log)
    running.start()
    yield running
    assert running.stop() == 0, log.read_text()
