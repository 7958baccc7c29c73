# SPDX-License-Identifier: Apache-2.0
"""ray.init() where its arguments or its surroundings are not as they should be."""
import subprocess
import sys

import pytest

from conftest import Cluster

SCRIPT = """
import ray
try:
    ray.init(num_cpus=1, include_dashboard=False, **(ARGUMENTS))
except Exception as e:
    print(type(e).__name__, e)
else:
    @ray.remote
    def f():
        return "ran"

    print(ray.get(f.remote()))
    ray.shutdown()
"""


def init(home, arguments, **environment):
    env = dict(Cluster(home).env, **environment)
    done = subprocess.run([sys.executable, "-c", SCRIPT.replace("ARGUMENTS", repr(arguments))],
                          env=env, capture_output=True, text=True, timeout=60, cwd=home)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("arguments, text", [
    ({"num_gpus": -1}, "ValueError Resource quantities must be nonnegative. Violated by resource "
                       "'GPU' in "),
    ({"num_gpus": 0.5}, "ValueError Resource quantities must all be whole numbers. "),
    ({"resources": {"CPU": 1}}, "ValueError {'CPU': 1} -> `CPU` cannot be a custom resource"),
    ({"resources": {"a": "x"}}, "AssertionError a (<class 'str'>): x"),
    ({"resources": [1]}, "TypeError resources must be a dict, got <class 'list'>"),
    ({"labels": {"a": 1}}, "ValueError labels must be str -> str, got 'a': 1"),
    ({"runtime_env": "x"}, "TypeError runtime_env must be dict or RuntimeEnv, but got: <class 'str'>"),
    ({"namespace": 5}, "TypeError namespace must be a string, got <class 'int'>"),
    ({"dashboard_port": 99999}, "ValueError dashboard_port must be an integer between 0 and 65535"),
    ({"_temp_dir": "relative"}, "ValueError temp_dir must be absolute path or None."),
])
def test_arguments_that_make_no_sense(home, arguments, text):
    said, _ = init(home, arguments, RAY_AUTH_MODE="disabled")
    assert said.startswith(text)
    assert not (home / "ray").exists() or not list((home / "ray").glob("session_2*"))
    assert not (home / "relative").exists()


def test_a_user_without_a_home(home):
    said, log = init(home, {}, HOME="/proc/nobody")
    assert said == "ran"
    assert "could not be saved to /proc/nobody/.ray/auth_token" in log


def test_sessions_are_their_users_own(home):
    init(home, {}, RAY_AUTH_MODE="disabled")
    (session,) = (home / "ray").glob("session_2*")
    assert (session / "sockets").stat().st_mode & 0o777 == 0o700
    assert (session / "runtime_resources").stat().st_mode & 0o777 == 0o700
