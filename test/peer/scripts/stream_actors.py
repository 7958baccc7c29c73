# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import asyncio

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class Sync:
    def __init__(self):
        self.n = 10

    def count(self, n):
        for i in range(n):
            self.n += 1
            yield self.n

    def value(self):
        return self.n

    @ray.method(num_returns="streaming")
    def marked(self):
        yield "m"

    def bad(self):
        yield 1
        raise KeyError("b")


@ray.remote
class Async:
    async def count(self, n):
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    async def bad(self):
        yield 1
        raise KeyError("b")

    def sync(self):
        yield "s"

    async def plain(self):
        return "p"


@ray.remote(max_concurrency=2)
class Threaded:
    def count(self, n):
        for i in range(n):
            yield i


a = Sync.remote()
gen = a.count.remote(3)
print(ray.get(list(gen)), ray.get(a.value.remote()))
print([ray.get(r) for r in a.marked.remote()])
print([ray.get(r) for r in a.count.options(num_returns="streaming").remote(2)])
refs = list(a.bad.remote())
print(len(refs), ray.get(refs[0]))
try:
    ray.get(refs[1])
except KeyError as e:
    print(type(e).__name__)
b = Async.remote()
print([ray.get(r) for r in b.count.remote(3)], [ray.get(r) for r in b.sync.remote()])
refs = list(b.bad.remote())
print(len(refs), ray.get(refs[0]))
try:
    ray.get(refs[1])
except KeyError as e:
    print(type(e).__name__)
gens = [b.count.remote(4) for _ in range(3)]
print([[ray.get(r) for r in gen] for gen in gens], ray.get(b.plain.remote()))
c = Threaded.remote()
print([[ray.get(r) for r in gen] for gen in [c.count.remote(2), c.count.remote(3)]])
