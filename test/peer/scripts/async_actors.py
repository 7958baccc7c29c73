# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import asyncio
import time

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class A:
    def __init__(self):
        self.event = asyncio.Event()
        self.running = self.most = 0

    async def wait(self):
        await self.event.wait()
        return "woken"

    async def wake(self):
        self.event.set()

    async def busy(self):
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.2)
        self.running -= 1
        return self.most

    def sync(self):
        return "sync"

    async def bad(self):
        raise KeyError("x")

    async def nested(self, ref):
        return await ref[0]


a = A.remote()
waiting = a.wait.remote()
ray.get(a.wake.remote())
print(ray.get(waiting), ray.get(a.sync.remote()))
print(max(ray.get([a.busy.remote() for _ in range(10)])) > 1)
b = A.options(max_concurrency=2).remote()
print(max(ray.get([b.busy.remote() for _ in range(6)])))
try:
    ray.get(a.bad.remote())
except KeyError as e:
    print(type(e).__name__, e.cause)
print(ray.get(a.nested.remote([ray.put(4)])))
show("ordered", lambda: A.options(allow_out_of_order_execution=False).remote())
