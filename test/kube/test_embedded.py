# SPDX-License-Identifier: Apache-2.0
"""The embedded server itself: its files, its log, its end."""
import signal
import stat
import subprocess

import pytest

from conftest import Kubectl

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
