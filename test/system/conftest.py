# SPDX-License-Identifier: Apache-2.0
"""What system tests share: our programs, a cluster of our own, the peer where there is one."""
import os
import pathlib
import re
import shutil
import tempfile

import pytest

from head import (  # noqa: F401 (tests import them here)
    BUILD, TOP, Cluster, free_port, memory, sanitized, wait_until)

PEER = os.environ.get("MOBULA_PEER", str(TOP / "build" / "peer"))


@pytest.fixture
def home():
    path = tempfile.mkdtemp(prefix="mobula-test-")
    yield pathlib.Path(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def cluster(home):
    it = Cluster(home)
    it.start()
    yield it
    it.stop()
    assert wait_until(lambda: not it.processes(), "the session's processes to end", 10) is True


@pytest.fixture(scope="module")
def shared_cluster():
    path = tempfile.mkdtemp(prefix="mobula-test-")
    it = Cluster(path)
    it.start()
    yield it
    it.stop()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def peer():
    """The interpreter of a venv with the peer's release (make peer)."""
    folder = pathlib.Path(PEER) / "bin"
    if not (folder / "ray").exists():
        pytest.skip("no peer: `make peer` installs ray[default]==2.60.0 beside the build")
    return folder / "python"


def peer_text(text):
    """The peer's console lines without colours, time stamps and file names."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\t(INFO|SUCC|ERR|WARN) (cli|scripts|"
                  r"cli_output_helpers)\.py:\d+ -- ", "", text, flags=re.M)
    return lines(text)


def lines(text):
    """Lines without indentation, empty ones, and what differs from run to run."""
    text = re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "TIME", text, flags=re.M)
    return [line.strip() for line in text.splitlines() if line.strip()]
