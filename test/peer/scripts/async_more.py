# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import asyncio

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def slow(x):
    return x * 2


@ray.remote
class A:
    def __init__(self):
        self.log = []

    async def waits(self, x):
        return await slow.remote(x)

    async def gathers(self, n):
        return await asyncio.gather(*[slow.remote(i) for i in range(n)])

    async def wait_for(self):
        @ray.remote
        def never():
            import time

            time.sleep(5)

        try:
            await asyncio.wait_for(never.remote(), 0.2)
        except asyncio.TimeoutError:
            return "timeout"

    async def context(self):
        before = ray.get_runtime_context().get_task_id()
        await asyncio.sleep(0.05)
        return before == ray.get_runtime_context().get_task_id()

    async def order(self, i):
        self.log.append(i)
        await asyncio.sleep(0)
        return list(self.log)

    async def loop(self):
        return type(asyncio.get_running_loop()).__name__ != ""

    async def blocking(self):
        return ray.get(slow.remote(1))

    async def error(self):
        try:
            await bad.remote()
        except ValueError as e:
            return type(e).__name__

    async def waits_for_refs(self):
        refs = [slow.remote(i) for i in range(3)]
        done, rest = await asyncio.wait([asyncio.ensure_future(wrap(r)) for r in refs])
        return sorted(t.result() for t in done), len(rest)


async def wrap(ref):
    return await ref


@ray.remote
def bad():
    raise ValueError("bad")


@ray.remote
class Mixed:
    def __init__(self):
        self.n = 0

    def sync(self):
        self.n += 1
        return self.n

    async def use(self):
        return 5

    @classmethod
    async def of_class(cls):
        return cls.__name__


a = A.remote()
print(ray.get(a.waits.remote(3)), ray.get(a.gathers.remote(4)), ray.get(a.wait_for.remote()))
print(ray.get([a.context.remote() for _ in range(4)]), ray.get(a.loop.remote()))
print(len(ray.get([a.order.remote(i) for i in range(5)])[-1]) >= 1)
print(ray.get(a.error.remote()), ray.get(a.waits_for_refs.remote()))
m = Mixed.remote()
print(ray.get([m.sync.remote() for _ in range(5)])[-1], ray.get(m.use.remote()))


async def main():
    results = await asyncio.gather(a.waits.remote(1), a.waits.remote(2))
    async with asyncio.timeout(20):
        results.append(await a.waits.remote(3))
    try:
        await bad.remote()
    except ValueError as e:
        results.append(type(e).__name__)
    return results


print(asyncio.run(main()))
print(ray.get(a.blocking.remote()))
