# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import asyncio
import time

report = Report()
ray.init(num_cpus=4, log_to_driver=False)


@ray.remote(num_cpus=0)
class Log:
    def __init__(self):
        self.said = []

    def say(self, word):
        self.said.append(word)

    def get(self):
        return self.said


log = Log.remote()


def said(word):
    deadline = time.time() + 20
    while word not in ray.get(log.get.remote()) and time.time() < deadline:
        time.sleep(0.02)
    return word in ray.get(log.get.remote())


@ray.remote
class Sync:
    def watches(self, name):
        ray.get(log.say.remote(name))
        for _ in range(300):
            if ray.get_runtime_context().is_canceled():
                return "saw it"
            time.sleep(0.01)
        return "never"

    def other(self):
        return ray.get_runtime_context().is_canceled()


@ray.remote
class Async:
    async def sleeps(self, name):
        try:
            log.say.remote(name)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await log.say.remote(name + " cancelled")
            raise

    async def catches(self, name):
        try:
            log.say.remote(name)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "caught"

    async def other(self):
        return "other"

    async def asks(self):
        return ray.get_runtime_context().is_canceled()


def outcome(ref):
    try:
        return ray.get(ref, timeout=30)
    except ray.exceptions.RayError as e:
        return [type(e).__name__, isinstance(e, ray.exceptions.TaskCancelledError)]


s = Sync.remote()
ref = s.watches.remote("sync")
said("sync")
ray.cancel(ref)
report.print("sync", outcome(ref), outcome(s.other.remote()))
ref, queued = s.watches.remote("sync 2"), s.other.remote()
said("sync 2")
ray.cancel(queued)
report.print("queued", outcome(queued))
t = Sync.options(max_concurrency=2).remote()
ref, second = t.watches.remote("threaded"), t.watches.remote("threaded 2")
said("threaded"), said("threaded 2")
ray.cancel(second)
report.print("threaded 2", outcome(second))
report.print(ray.wait([ref], timeout=0.2)[0])
ray.cancel(ref)
report.print("threaded", outcome(ref), outcome(t.other.remote()))
a = Async.remote()
ref = a.sleeps.remote("async")
said("async")
ray.cancel(ref)
report.print("async", outcome(ref), said("async cancelled"), outcome(a.other.remote()))
ref = a.catches.remote("async catches")
said("async catches")
ray.cancel(ref)
report.print("catches", outcome(ref))
try:
    ray.get(a.asks.remote())
except RuntimeError as e:
    report.print(str(e).splitlines()[-1])
report.end()
