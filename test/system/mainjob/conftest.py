# SPDX-License-Identifier: Apache-2.0
"""The main job: one cache of pip environments, and a cluster that stays, for all tests here."""
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from embedded import EXAMPLE, Embedded, said, without_environment  # noqa: E402


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """Skips without one; asked the way jobs will ask it."""
    folder = tmp_path_factory.mktemp("registry")
    asked = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--retries",
                            "0", "--timeout", "10", "--disable-pip-version-check", "-d", folder,
                            "requests==2.26.0"], capture_output=True, text=True,
                           env=dict(os.environ, PIP_NO_CACHE_DIR="1"))
    if asked.returncode:
        pytest.skip("no package registry can be reached")


@pytest.fixture
def run(tmp_path, cache):
    """`mobula run` in a folder of its own."""
    it = Embedded(tmp_path, cache)
    yield it
    it.down()


@pytest.fixture(scope="module")
def kept(tmp_path_factory, cache):
    """A cluster that `mobula run --keep` has left, its first job over."""
    it = Embedded(tmp_path_factory.mktemp("kept"), cache)
    done = it.mobula("run", "--keep", "-", text=without_environment(EXAMPLE))
    try:
        assert done.returncode == 0, said(done)
        assert f"export KUBECONFIG={it.kubeconfig}" in said(done)
        yield it
    finally:
        down = it.down()
    assert down.returncode == 0 and "Ended the cluster" in said(down)
    assert not it.dir.exists()
