# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report, show

import asyncio
import threading
import time

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(concurrency_groups={"io": 2, "compute": 1})
class Async:
    def __init__(self):
        self.now = {"io": 0, "compute": 0, "none": 0}
        self.most = dict(self.now)

    async def _busy(self, name):
        self.now[name] += 1
        self.most[name] = max(self.most[name], self.now[name])
        await asyncio.sleep(0.1)
        self.now[name] -= 1
        return name

    @ray.method(concurrency_group="io")
    async def io(self):
        return await self._busy("io")

    @ray.method(concurrency_group="compute")
    async def compute(self):
        return await self._busy("compute")

    async def none(self):
        return await self._busy("none")

    async def result(self):
        return self.most


a = Async.remote()
ray.get([m.remote() for _ in range(4) for m in (a.io, a.compute, a.none)])
most = ray.get(a.result.remote())
report.print(most["io"], most["compute"], most["none"] > 1)
b = Async.remote()
ray.get([b.none.options(concurrency_group="io").remote() for _ in range(4)])
report.print(ray.get(b.result.remote())["none"])


@ray.remote(concurrency_groups={"io": 2, "one": 1})
class Threads:
    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.event = threading.Event()

    @ray.method(concurrency_group="io")
    def io(self):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.1)
        with self.lock:
            self.now -= 1
        return self.most

    @ray.method(concurrency_group="one")
    def waits(self):
        return self.event.wait(20)

    def wake(self):
        self.event.set()
        return "woken"

    def order(self, i):
        self.last = getattr(self, "last", []) + [i]
        return self.last


t = Threads.remote()
report.print(max(ray.get([t.io.remote() for _ in range(6)])))
waiting = t.waits.remote()
report.print(ray.get(t.wake.remote()), ray.get(waiting))
report.print(ray.get([t.order.remote(i) for i in range(4)])[-1])


def absent():
    @ray.remote(concurrency_groups={"io": 2})
    class Absent:
        @ray.method(concurrency_group="absent")
        def m(self):
            return 1

    return ray.get(Absent.remote().m.remote(), timeout=20)


try:
    report.print(absent())
except BaseException as e:
    report.print("absent", type(e).__name__)
report.end()
