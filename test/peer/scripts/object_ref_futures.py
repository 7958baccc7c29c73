# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import asyncio
import concurrent.futures
import time

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def f(x, wait=0):
    time.sleep(wait)
    return x


@ray.remote
def bad():
    raise KeyError("bad")


fs = [f.remote(i).future() for i in range(10)]
print(sorted(x.result() for x in concurrent.futures.as_completed(fs, timeout=30)))
x = bad.remote().future()
print(type(x.exception(timeout=30)).__name__, x.done(), x.cancelled())
slow = f.remote(1, 3).future()
try:
    slow.result(timeout=0.05)
except concurrent.futures.TimeoutError as e:
    print("TimeoutError", slow.done())
called = []
y = f.remote(2).future()
y.add_done_callback(lambda v: called.append(v.result()))
y.result()
deadline = time.time() + 5
while not called and time.time() < deadline:
    time.sleep(0.01)
print(called)


async def main():
    print(await asyncio.gather(f.remote(1), f.remote(2), ray.put(3)))
    r = f.remote("late", 5)
    try:
        await asyncio.wait_for(r, 0.1)
    except asyncio.TimeoutError:
        print("asyncio.TimeoutError")
    done, pending = await asyncio.wait([f.remote(1).as_future(), f.remote(2, 10).as_future()], timeout=2)
    print(len(done), len(pending))
    for p in pending:
        p.cancel()
    for e in asyncio.as_completed([f.remote(5), f.remote(5)]):
        print(await e)
    try:
        await bad.remote()
    except KeyError as e:
        print("KeyError", type(e).__name__)
    task = asyncio.ensure_future(f.remote("ensured").as_future())
    print(await task)
    print(await ray.put("direct"), type(f.remote(1).as_future()).__name__)


asyncio.run(main())
