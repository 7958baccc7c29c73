# SPDX-License-Identifier: Apache-2.0
"""`mobula run` by somebody who is not root: the same in a user namespace."""
import importlib.util
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from conftest import BUILD
from test_run import MANIFEST, said

PYTHON = "/usr/bin/python3"  # others may not read ours
USER = "54321"
OWN_TUN = ("mount -t tmpfs none /dev/net && mknod /dev/net/tun c 10 200 && "
           "chmod 666 /dev/net/tun && exec \"$@\"")


def allowed():
    return subprocess.run(["setpriv", "--reuid", USER, "--clear-groups", "unshare", "-Urn", "true"],
                          capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody who is not root"),
    pytest.mark.skipif(not allowed(), reason="user namespaces are not permitted here"),
]


class Person:
    """A user with a home, an installation and an interpreter of their own."""

    def __init__(self, home):
        self.home, self.dir = home, home / "run"
        (home / "bin").mkdir()
        shutil.copy(BUILD / "src" / "cmd" / "mobula", home / "bin")
        (home / "bin" / "ray").symlink_to("mobula")
        shutil.copytree(BUILD / "python", home / "python", symlinks=False)
        subprocess.run([PYTHON, "-m", "venv", "--without-pip", home / "venv"], check=True)
        package = pathlib.Path(importlib.util.find_spec("cloudpickle").origin).parent
        shutil.copytree(package, next((home / "venv" / "lib").iterdir()) / "site-packages" /
                        "cloudpickle")
        subprocess.run(["chown", "-R", f"{USER}:{USER}", home], check=True)
        self.env = {"HOME": str(home), "MOBULA_RUN_DIR": str(self.dir),
                    "MOBULA_CACHE_DIR": str(home / "cache"), "PYTHONPATH": str(home / "python"),
                    "PATH": f"{home}/venv/bin:{home}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    **{name: value for name, value in os.environ.items()  # make asan
                       if name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")}}
        self.around = []

    def command(self, *words):
        return [*self.around, "setpriv", "--reuid", USER, "--regid", USER, "--clear-groups",
                *words]

    def __call__(self, *words, text=None, timeout=150):
        return subprocess.run(self.command(*words), input=text, env=self.env, cwd=self.home,
                              capture_output=True, text=True, timeout=timeout)

    def processes(self):
        # Under AddressSanitizer (make asan) ps itself would hang.
        return subprocess.run(["ps", "-u", USER, "-o", "stat=,args="], capture_output=True,
                              text=True, env={**os.environ, "LD_PRELOAD": ""}).stdout.splitlines()


@pytest.fixture
def person():
    home = pathlib.Path(tempfile.mkdtemp(prefix="mobula-rootless-", dir="/var/tmp"))
    try:
        person = Person(home)
        yield person
        person("mobula", "down")
        assert [line for line in person.processes() if not line.startswith("Z")] == []
        assert not person.dir.exists()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_a_job_runs_without_root(person):
    done = person("mobula", "run", "-", text=MANIFEST)
    assert done.returncode == 0, said(done)
    assert "Not root: the cluster has a user namespace of its own" in said(done)
    assert "test_counter got 2" in said(done)


def test_what_is_missing_is_said(person):
    person.env["PATH"] = f"{person.home}/venv/bin:{person.home}/bin"
    for name in ("setpriv", "sh", "bash", "env", "python3", "nft"):
        path = shutil.which(name, path="/usr/sbin:/usr/bin:/bin")
        if path and not (person.home / "bin" / name).exists():
            (person.home / "bin" / name).symlink_to(path)
    done = person("mobula", "run", "-", text="apiVersion: v1\nkind: ConfigMap\n"
                                             "metadata: {name: one}\n")
    assert done.returncode == 0, said(done)
    assert "slirp4netns is not installed, so pods do not reach the outside" in said(done)


def test_a_kept_cluster_is_reached_from_outside(person):
    if not shutil.which("slirp4netns") or not shutil.which("kubectl"):
        pytest.skip("no slirp4netns or no kubectl here")
    person.around = ["unshare", "-m", "sh", "-c", OWN_TUN, "-"]
    done = person("mobula", "run", "--keep", "-", text=MANIFEST)
    if "needs /dev/net/tun" in said(done):
        pytest.skip("no /dev/net/tun can be made here")
    assert done.returncode == 0, said(done)
    kubeconfig = person.dir / "apiserver" / "kubeconfig"
    listed = person("kubectl", "--kubeconfig", kubeconfig, "get", "nodes", "-o", "name")
    assert listed.stdout.split() == ["node/node-0", "node/node-1", "node/node-2"], said(listed)
    again = person("mobula", "run", "-", text=MANIFEST)
    assert again.returncode == 0, said(again)
    assert f"using the cluster in {person.dir}" in said(again)
