# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import sys

import pytest
from core_session import Ray

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # head


@pytest.fixture
def ray(tmp_path_factory):
    # Short: a unix socket's path has 107 bytes.
    folder = tmp_path_factory.mktemp("r")
    session = Ray(folder)
    yield session
    for pid in session.processes():
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
