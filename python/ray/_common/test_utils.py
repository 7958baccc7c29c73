# SPDX-License-Identifier: Apache-2.0
"""What tests of programs that use Ray borrow."""
import asyncio
import inspect
import os
import subprocess
import sys
import time
import traceback

import ray

DEFAULT_DRIVER_TIMEOUT_SECONDS = 300

__all__ = ["SignalActor", "Semaphore"]


@ray.remote(num_cpus=0)
class SignalActor:
    """An event that several tasks and actors wait for."""

    def __init__(self):
        self.ready_event = asyncio.Event()
        self.num_waiters = 0

    def send(self, clear=False):
        self.ready_event.set()
        if clear:
            self.ready_event.clear()

    async def wait(self, should_wait=True):
        if should_wait:
            self.num_waiters += 1
            await self.ready_event.wait()
            self.num_waiters -= 1

    async def cur_num_waiters(self):
        return self.num_waiters


@ray.remote(num_cpus=0)
class Semaphore:
    """A semaphore of several tasks and actors."""

    def __init__(self, value=1):
        self._semaphore = asyncio.Semaphore(value)

    async def acquire(self):
        await self._semaphore.acquire()

    async def release(self):
        self._semaphore.release()

    async def locked(self):
        return self._semaphore.locked()


def _not_met(timeout, seen):
    message = "The condition wasn't met before the timeout expired."
    if seen is not None:
        message += f" Last exception: {seen}"
    return RuntimeError(message)


def wait_for_condition(
    condition_predictor, timeout=10, retry_interval_ms=100, raise_exceptions=False, **kwargs
):
    """Asks until it is true; RuntimeError when that takes longer than `timeout` seconds."""
    deadline, seen = time.monotonic() + timeout, None
    while time.monotonic() <= deadline:
        try:
            if condition_predictor(**kwargs):
                return
        except Exception:
            if raise_exceptions:
                raise
            seen = traceback.format_exc()
        time.sleep(retry_interval_ms / 1000)
    raise _not_met(timeout, seen)


async def async_wait_for_condition(
    condition_predictor, timeout=10, retry_interval_ms=100, **kwargs
):
    """The same, of a function or a coroutine function."""
    deadline, seen = time.monotonic() + timeout, None
    while time.monotonic() <= deadline:
        try:
            answer = condition_predictor(**kwargs)
            if await answer if inspect.isawaitable(answer) else answer:
                return
        except Exception:
            seen = traceback.format_exc()
        await asyncio.sleep(retry_interval_ms / 1000)
    raise _not_met(timeout, seen)


def run_string_as_driver(
    driver_script, env=None, encode="utf-8", timeout=DEFAULT_DRIVER_TIMEOUT_SECONDS
):
    """What a script prints, run by this interpreter; CalledProcessError unless it ends well."""
    done = subprocess.run(
        [sys.executable, "-"],
        input=driver_script.encode(encode),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ if env is None else env),
        timeout=timeout,
    )
    output = done.stdout.decode(encode)
    if done.returncode:
        print(output, file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, done.args, output, done.stderr)
    return output
