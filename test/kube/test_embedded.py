# SPDX-License-Identifier: Apache-2.0
"""The embedded server itself: its files, its log, its end."""
import json
import signal
import stat
import subprocess
import time

import pytest

from conftest import Kubectl, wait_for

pytestmark = pytest.mark.embedded


def test_files_are_private(embedded):
    for path in embedded.state.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0 or path.suffix in (".db", ".db-wal", ".db-shm"), path


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_survives_its_end(embedded, how):
    kubectl = Kubectl(embedded.kubeconfig)
    for i in range(20):
        kubectl("create", "configmap", f"c{i}", "--from-literal=a=b")
    kubectl("delete", "configmap", "c0")
    before = kubectl.json("get", "cm", "-A")
    embedded.stop(how)
    embedded.start()
    after = kubectl.json("get", "cm", "-A")  # the same kubeconfig: the port is kept
    assert [i["metadata"] for i in after["items"]] == [i["metadata"] for i in before["items"]]


def test_needs_its_options(embedded):
    from conftest import BUILD
    done = subprocess.run([BUILD / "bin/mobula", "apiserver"], capture_output=True, text=True)
    assert done.returncode == 2 and "--state" in done.stderr


def test_node_that_falls_silent(embedded):
    embedded.stop()
    embedded.start("--node-monitor-grace-period=2")
    kubectl = Kubectl(embedded.kubeconfig)
    ready = [{"type": "Ready", "status": "True"}]
    kubectl("create", "-f", "-", stdin={
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
        "status": {"capacity": {"cpu": "4", "memory": "4Gi", "pods": "9"}, "conditions": ready}})
    kubectl("create", "-f", "-", stdin={
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "local/none:1"}]}})
    kubectl("wait", "pod/p", "--for=condition=PodScheduled", "--timeout=20s")
    kubectl("wait", "node/n", "--for=condition=Ready=Unknown", "--timeout=20s")
    taints = kubectl.json("get", "node", "n")["spec"]["taints"]
    assert [t["effect"] for t in taints] == ["NoSchedule", "NoExecute"]
    assert {t["key"] for t in taints} == {"node.kubernetes.io/unreachable"}
    assert "NotReady" in kubectl("get", "node", "n")

    def beats():  # each time anew: the node is lost again two seconds later
        ready[0]["lastHeartbeatTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        kubectl("patch", "node", "n", "--subresource=status", "--type=merge", "-p",
                json.dumps({"status": {"conditions": ready}}))
        return "taints" not in kubectl.json("get", "node", "n")["spec"]

    wait_for(beats, what="the end of the taints")
    kubectl("delete", "node", "n")
    kubectl("wait", "pod/p", "--for=delete", "--timeout=20s")
