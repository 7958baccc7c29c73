# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc
import time

ray.init(num_cpus=2, log_to_driver=False)

r = ray.put("captured")
late = ray.put(b"l" * 500000)


@ray.remote
def reads():
    return ray.get(r)


@ray.remote
class Reads:
    ref = late

    def size(self):
        return len(ray.get(self.ref))


def make(n):
    inner = ray.put(n * 10)

    @ray.remote
    def g():
        return ray.get(inner)

    return g


fs = [make(i) for i in range(5)]
gc.collect()
print(ray.get(reads.remote()), ray.get([g.remote() for g in fs]))
a = Reads.remote()
print(ray.get(a.size.remote()))
del r, late
gc.collect()
time.sleep(0.2)
print(ray.get(reads.remote()), ray.get(a.size.remote()))
print(ray.get([g.remote() for g in fs]))
f = lambda: ray.get(fs[2].remote())
print(ray.get(ray.remote(f).remote()))
