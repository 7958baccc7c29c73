# SPDX-License-Identifier: Apache-2.0
"""Our own Kubernetes client (src/kube) against the server; each scenario in its own process."""
import os
import signal
import subprocess

import pytest

from conftest import BUILD, Kubectl

SCENARIOS = ["raw", "objects", "patches", "lists", "watch", "informer", "leader", "events",
             "manifests"]


def check(kubeconfig, *scenarios):
    return subprocess.run([BUILD / "src/kube/kube-check", *scenarios], text=True, timeout=120,
                          capture_output=True, env={**os.environ, "KUBECONFIG": str(kubeconfig)})


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_client(kubeconfig, scenario):
    done = check(kubeconfig, scenario)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 0 failed" in done.stdout


def started(embedded, *words):
    """kube-check in one of its lasting modes; it ends by itself if the test hangs."""
    return subprocess.Popen(["timeout", "60", BUILD / "src/kube/kube-check", *words], text=True,
                            stdout=subprocess.PIPE,
                            env={**os.environ, "KUBECONFIG": str(embedded.kubeconfig)})


@pytest.mark.embedded
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_informer_survives_the_server(embedded, how):
    """An informer goes on after the server's restart: it tells what changed, and nothing twice."""
    kubectl = Kubectl(embedded.kubeconfig)
    for name in ("stays", "goes"):
        kubectl("create", "configmap", name, "--from-literal=a=b")
    process = started(embedded, "--follow", "default")
    try:
        lines = [process.stdout.readline().split() for _ in range(3)]
        assert ["synced"] in lines and ["added", "default/stays"] in lines
        embedded.stop(how)
        embedded.start()
        kubectl("delete", "configmap", "goes")
        kubectl("create", "configmap", "comes", "--from-literal=a=b")
        seen = [process.stdout.readline().split() for _ in range(2)]
        assert ["deleted", "default/goes"] in seen and ["added", "default/comes"] in seen
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.embedded
def test_leader_stops_when_the_server_stalls(embedded):
    """Who cannot renew must cease to act before another may begin, and may lead again later."""
    process = started(embedded, "--lead", "me")
    try:
        assert process.stdout.readline() == "started\n"
        embedded.process.send_signal(signal.SIGSTOP)
        assert process.stdout.readline() == "stopped\n"
        embedded.process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "started\n"
    finally:
        embedded.process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(10)
