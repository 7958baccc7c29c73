# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import time

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(num_cpus=0)
class Log:
    def __init__(self):
        self.most = 0

    def made(self, n):
        self.most = n

    def get(self):
        return self.most


@ray.remote(_generator_backpressure_num_objects=2)
def slow(log, n):
    for i in range(n):
        ray.get(log.made.remote(i + 1))
        yield i


def settled(log, wanted):
    deadline = time.time() + 20
    while ray.get(log.get.remote()) < wanted and time.time() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    return ray.get(log.get.remote())


log = Log.remote()
gen = slow.remote(log, 6)
print(settled(log, 2))
print(ray.get(next(gen)), settled(log, 3))
print(ray.get(next(gen)), ray.get(next(gen)), settled(log, 5))
print([ray.get(r) for r in gen])
log = Log.remote()
gen = slow.options(_generator_backpressure_num_objects=1).remote(log, 4)
print(settled(log, 1))
print([ray.get(r) for r in gen])
log = Log.remote()
gen = slow.options(_generator_backpressure_num_objects=-1).remote(log, 20)
print(settled(log, 20), len(list(gen)))
show("zero", lambda: slow.options(_generator_backpressure_num_objects=0))


@ray.remote
class A:
    @ray.method(_generator_backpressure_num_objects=1)
    async def agen(self, log, n):
        for i in range(n):
            await log.made.remote(i + 1)
            yield i

    async def other(self):
        return "other"


a = A.remote()
log = Log.remote()
gen = a.agen.remote(log, 3)
print(settled(log, 1), ray.get(a.other.remote()))
print([ray.get(r) for r in gen])
log = Log.remote()
gen = slow.options(_generator_backpressure_num_objects=1).remote(log, 5)
print(settled(log, 1))
done = gen.completed()
del gen
print(ray.get(done), ray.get(log.get.remote()))
