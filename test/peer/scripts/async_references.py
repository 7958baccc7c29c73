# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import asyncio

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def f(x):
    return x


@ray.remote
def bad():
    raise ValueError("b")


async def main():
    print(await f.remote(1), await asyncio.gather(*[f.remote(i) for i in range(20)]))
    print(await asyncio.wait_for(f.remote(5), 10))
    try:
        await bad.remote()
    except ValueError as e:
        print(type(e).__name__)
    done, _ = await asyncio.wait([asyncio.wrap_future(f.remote(7).future())])
    print([d.result() for d in done], await f.remote(8).as_future())


asyncio.run(main())
asyncio.run(main())
future = f.remote(3).future()
print(future.result(), type(future).__module__)
print(type(bad.remote().future().exception()).__name__)
