# SPDX-License-Identifier: Apache-2.0
"""The scripts of test/peer print here what they printed on Ray itself."""
import importlib.machinery
import importlib.util
import os

import pytest
from core_session import TOP, environment


def load():
    path = str(TOP / "test/peer/compare")
    loader = importlib.machinery.SourceFileLoader("compare", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
    loader.exec_module(module)
    return module


compare = load()


@pytest.mark.parametrize("name", compare.names([]))
def test_same_as_ray(name, tmp_path, monkeypatch):
    for key, value in environment(tmp_path).items():
        monkeypatch.setitem(os.environ, key, value)
    lines = compare.differences(name)
    assert not lines, "\n".join(lines)
