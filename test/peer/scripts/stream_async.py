# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import asyncio

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def numbers(n):
    for i in range(n):
        yield i


async def main():
    values = []
    async for ref in numbers.remote(4):
        values.append(await ref)
    print(values)
    gen = numbers.remote(1)
    print(gen.__aiter__() is gen, await (await gen.__anext__()))
    try:
        await gen.__anext__()
    except StopAsyncIteration:
        print("end")
    both = await asyncio.gather(*(collect(numbers.remote(n)) for n in (2, 3)))
    print(both)


async def collect(gen):
    return [await ref async for ref in gen]


asyncio.run(main())


@ray.remote
class Consumer:
    async def take(self, n):
        return [await ref async for ref in numbers.remote(n)]


print(ray.get(Consumer.remote().take.remote(3)))
