# SPDX-License-Identifier: Apache-2.0
"""What tests of programs that use Ray borrow, under its old name; and a little more."""
import contextlib
import os
import subprocess
import sys

import ray
from ray._common.network_utils import find_free_port
from ray._common.test_utils import (  # noqa: F401
    Semaphore,
    SignalActor,
    async_wait_for_condition,
    run_string_as_driver,
    wait_for_condition,
)


def get_current_unused_port():
    return find_free_port()


def run_string_as_driver_nonblocking(driver_script, env=None):
    """The process of a script that runs on."""
    process = subprocess.Popen(
        [sys.executable, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
    )
    process.stdin.write(driver_script.encode("ascii"))
    process.stdin.close()
    return process


def wait_for_pid_to_exit(pid, timeout=20):
    def gone():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for_condition(gone, timeout=timeout)


def kill_actor_and_wait_for_failure(actor, timeout=10, retry_interval_ms=100):
    """Kills an actor's process, which may be started again; returns when the cluster knows."""
    from ray._private import state

    actor_id = actor._actor_id.hex()
    restarts = state.actors(actor_id)["NumRestarts"]
    ray.kill(actor, no_restart=False)

    def seen():
        now = state.actors(actor_id)
        return now["State"] == "DEAD" or now["NumRestarts"] > restarts

    wait_for_condition(seen, timeout=timeout, retry_interval_ms=retry_interval_ms)


def same_elements(elems_a, elems_b):
    """Are they the same, in any order?"""
    rest = list(elems_b)
    for element in elems_a:
        if element not in rest:
            return False
        rest.remove(element)
    return not rest


@contextlib.contextmanager
def chdir(d):
    before = os.getcwd()
    os.chdir(d)
    try:
        yield
    finally:
        os.chdir(before)


def client_test_enabled():
    return False
