# SPDX-License-Identifier: Apache-2.0
"""`make kills` kills each process at KILLS=20 moments; a test run else at one."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

KILLS = int(os.environ.get("KILLS", "1"))


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes")


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(KILLS))
