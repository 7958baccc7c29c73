# SPDX-License-Identifier: Apache-2.0
import asyncio

import ray

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(num_cpus=0)
def value(x, delay=0):
    import time

    time.sleep(delay)
    return x


@ray.remote(num_cpus=0)
def fail():
    raise ValueError("no")


async def main():
    print(await value.remote(1), await asyncio.gather(*[value.remote(i) for i in range(3)]))
    try:
        await fail.remote()
    except ValueError as e:
        print(type(e).__name__)
    results = await asyncio.gather(value.remote(1), fail.remote(), return_exceptions=True)
    print(results[0], type(results[1]).__name__)
    slow = value.remote("slow", 1.5)
    try:
        await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(slow.future())), 0.2)
    except asyncio.TimeoutError as e:
        print(type(e).__name__)
    print(await slow)
    done, pending = await asyncio.wait([asyncio.ensure_future(_get(value.remote(2)))])
    print([t.result() for t in done], len(pending))
    ref = ray.put("put")
    print(await ref, await ref)


async def _get(ref):
    return await ref


asyncio.run(main())


@ray.remote(num_cpus=0)
class Actor:
    async def collect(self, refs):
        return await asyncio.gather(*refs)

    async def nested(self):
        return await value.remote("from inside")

    async def generator(self):
        for i in range(3):
            yield await value.remote(i)


a = Actor.remote()
print(ray.get(a.collect.remote([value.remote(i) for i in range(3)])), ray.get(a.nested.remote()))
print([ray.get(r) for r in a.generator.remote()])
