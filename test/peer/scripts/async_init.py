# SPDX-License-Identifier: Apache-2.0
import asyncio

import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class Plain:
    """What belongs to an event loop is made in __init__, as the methods run on the same one."""

    def __init__(self, start):
        self.loop = asyncio.get_running_loop()
        self.value = start
        self.changed = asyncio.Event()
        self.task = self.loop.create_task(self.count())

    async def count(self):
        while self.value < 5:
            self.value += 1
            await asyncio.sleep(0.01)
        self.changed.set()

    async def wait(self):
        await self.changed.wait()
        return self.value, asyncio.get_running_loop() is self.loop

    def sync(self):
        return asyncio.get_running_loop() is self.loop


a = Plain.remote(1)
print(ray.get(a.wait.remote()))
print(ray.get(a.sync.remote()))


@ray.remote
class Awaits:
    async def __init__(self):
        await asyncio.sleep(0.01)
        self.value = "made"

    async def get(self):
        return self.value


print(ray.get(Awaits.remote().get.remote()))


@ray.remote
class Bad:
    def __init__(self):
        asyncio.get_running_loop()
        raise ValueError("in the loop")

    async def m(self):
        pass


try:
    ray.get(Bad.remote().m.remote())
except ray.exceptions.ActorDiedError as e:
    print(type(e).__name__, "ValueError: in the loop" in str(e))


@ray.remote(concurrency_groups={"io": 2})
class Groups:
    def __init__(self):
        self.loop = asyncio.get_running_loop()

    @ray.method(concurrency_group="io")
    async def io(self):
        return asyncio.get_running_loop() is self.loop

    async def rest(self):
        return asyncio.get_running_loop() is self.loop

    async def block(self):
        import time

        time.sleep(3)  # stops its own loop only
        return "blocked"


g = Groups.remote()
print(ray.get([g.io.remote(), g.rest.remote()]))
blocked = g.block.remote()
print(ray.get(g.io.remote(), timeout=2.5), len(ray.wait([blocked], timeout=0)[0]))
print(ray.get(blocked))
inside = ray.put(3)


@ray.remote
class Gets:
    def __init__(self, refs):
        self.value = ray.get(refs[0])

    async def m(self):
        return self.value


print(ray.get(Gets.remote([inside]).m.remote()))
show("no coroutine", lambda: ray.get(Plain.options(max_concurrency=1).remote(4).wait.remote()))
