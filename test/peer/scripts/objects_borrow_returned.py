# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc
import time

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def makes(x):
    return [ray.put(x)]


@ray.remote
def nests(depth):
    return "bottom" if depth == 0 else [nests.remote(depth - 1)]


@ray.remote
def wraps(box):
    return {"again": box, "value": ray.get(box[0])}


box = makes.remote("made in a task")
inner = ray.get(box)[0]
del box
gc.collect()
print(ray.get(inner))
outer = wraps.remote([inner])
del inner
gc.collect()
again = ray.get(outer)["again"][0]
del outer
gc.collect()
print(ray.get(again))
value = ray.get(nests.remote(8))
depth = 0
while isinstance(value, list):
    value = ray.get(value[0])
    depth += 1
print(depth, value)
refs = [makes.remote(i) for i in range(50)]
inner = [ray.get(r)[0] for r in refs]
del refs
gc.collect()
print(sum(ray.get(inner)))
