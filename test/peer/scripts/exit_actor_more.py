# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report, show

import asyncio
import atexit
import os
import tempfile
import threading
import time

report = Report()
ray.init(num_cpus=2, log_to_driver=False)
folder = tempfile.mkdtemp()


def wait_for(path):
    deadline = time.time() + 30
    while not os.path.exists(path) and time.time() < deadline:
        time.sleep(0.02)
    return os.path.exists(path)


@ray.remote
class Async:
    async def leaves(self):
        ray.actor.exit_actor()

    async def slow(self):
        await asyncio.sleep(0.3)
        return "slow"

    async def m(self):
        return 1


@ray.remote(max_concurrency=3)
class Threaded:
    def leaves(self):
        ray.actor.exit_actor()

    def m(self):
        return 1


@ray.remote
class Sync:
    def __init__(self, path):
        atexit.register(lambda: open(path, "w").close())

    def leaves(self):
        ray.actor.exit_actor()

    def in_thread(self):
        caught = []

        def run():
            try:
                ray.actor.exit_actor()
            except BaseException as e:
                caught.append(type(e).__name__)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return len(caught)

    def swallow(self):
        try:
            ray.actor.exit_actor()
        except Exception:
            return "swallowed"

    def m(self):
        return 1


def outcome(ref):
    try:
        return ray.get(ref, timeout=30)
    except ray.exceptions.RayActorError as e:
        lines = [line for line in str(e).splitlines() if "exit" in line.lower()]
        return [type(e).__name__, "exit_actor" in str(e), len(lines)]


for name, actor in (("async", Async.remote()), ("threaded", Threaded.remote())):
    report.print(name, outcome(actor.leaves.remote()))
    report.print(name, outcome(actor.m.remote()))
path = os.path.join(folder, "atexit")
s = Sync.remote(path)
refs = [s.leaves.remote(), s.m.remote()]
report.print([outcome(r) for r in refs], wait_for(path))
s = Sync.remote(path)
report.print(outcome(s.swallow.remote()))
report.show("driver", ray.actor.exit_actor)


@ray.remote
def task():
    ray.actor.exit_actor()


try:
    ray.get(task.remote())
except TypeError as e:
    report.print(str(e).splitlines()[-1])


@ray.remote(max_restarts=5)
class Restarts:
    def leaves(self):
        ray.actor.exit_actor()

    def m(self):
        return 1


r = Restarts.remote()
report.print(outcome(r.leaves.remote()), outcome(r.m.remote()))
report.end()
