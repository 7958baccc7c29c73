# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import time

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(num_cpus=0)
class Log:
    def __init__(self):
        self.most = {}

    def made(self, name, n):
        self.most[name] = n

    def get(self, name):
        return self.most.get(name, 0)


class Maker:
    def __init__(self, log):
        self.log = log

    def make(self, name, n):
        for i in range(n):
            ray.get(self.log.made.remote(name, i + 1))
            yield i

    @ray.method(_generator_backpressure_num_objects=2)
    def make_two(self, name, n):
        yield from self.make(name, n)

    def ping(self):
        return "pong"


class AsyncMaker:
    def __init__(self, log):
        self.log = log

    @ray.method(_generator_backpressure_num_objects=2)
    async def make_two(self, name, n):
        for i in range(n):
            await self.log.made.remote(name, i + 1)
            yield i

    async def ping(self):
        return "pong"


log = Log.remote()


def settled(name, wanted):
    deadline = time.time() + 30
    while ray.get(log.get.remote(name)) < wanted and time.time() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    return ray.get(log.get.remote(name))


one = ray.remote(Maker).remote(log)
gen = one.make_two.remote("a", 6)
report.print(settled("a", 2))
report.print(ray.get(next(gen)), settled("a", 3))
report.print(ray.get(next(gen)), ray.get(next(gen)), settled("a", 5))
queued = one.ping.remote()  # behind the one that waits for its reader
report.print(ray.wait([queued], timeout=0.3)[0])
report.print([ray.get(r) for r in gen], ray.get(queued))
gen = one.make.options(_generator_backpressure_num_objects=1).remote("b", 3)
report.print(settled("b", 1), [ray.get(r) for r in gen])
gen = one.make_two.options(_generator_backpressure_num_objects=-1).remote("c", 8)
report.print(settled("c", 8), len(list(gen)))

threads = ray.remote(Maker).options(max_concurrency=3).remote(log)
first, second = threads.make_two.remote("d", 5), threads.make_two.remote("e", 5)
report.print(settled("d", 2), settled("e", 2), ray.get(threads.ping.remote()))
report.print([ray.get(r) for r in second], settled("d", 2), [ray.get(r) for r in first])

loop = ray.remote(AsyncMaker).remote(log)
first, second = loop.make_two.remote("f", 5), loop.make_two.remote("g", 5)
report.print(settled("f", 2), settled("g", 2), ray.get(loop.ping.remote()))
report.print([ray.get(r) for r in second], settled("f", 2), [ray.get(r) for r in first])

gen = one.make_two.remote("h", 9)
report.print(settled("h", 2))
del gen  # the reader is gone: it runs to its end
report.print(settled("h", 9), ray.get(one.ping.remote()))
report.end()
