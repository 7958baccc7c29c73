# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc

import numpy as np

ray.init(num_cpus=2, object_store_memory=80 * 1024 * 1024, log_to_driver=False)
size = 5 * 1024 * 1024
refs = [ray.put(np.full(size, i, dtype=np.uint8)) for i in range(50)]
for order in (range(50), reversed(range(50))):
    print(sum(int(ray.get(refs[i])[0] == i and ray.get(refs[i])[-1] == i) for i in order))


@ray.remote
def makes(i):
    return np.full(size, i, dtype=np.uint8)


@ray.remote
def reads(x):
    return int(x[0]) + int(x[-1])


@ray.remote
def inside(box):
    return sum(int(ray.get(r)[7]) for r in box)


made = [makes.remote(i) for i in range(30)]
print(len(ray.wait(made, num_returns=30)[0]))
print(ray.get([reads.remote(r) for r in made]) == [2 * i for i in range(30)])
print(ray.get(inside.remote(refs[::5])))
a = ray.get(made[3])
del made
gc.collect()
more = [ray.put(np.full(size, 1, dtype=np.uint8)) for i in range(30)]
print(int(a[0]), int(a[-1]), sum(int(ray.get(r)[3]) for r in more))
