# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc
import time

ray.init(num_cpus=4, log_to_driver=False)


@ray.remote
def deeper(box, depth):
    if depth == 0:
        time.sleep(0.5)
        return ray.get(box[0])
    return deeper.remote(box, depth - 1)


@ray.remote
def later(box):
    time.sleep(0.5)
    return len(ray.get(box["in"][0]))


r = ray.put("the end of the chain")
result = deeper.remote([r], 6)
del r
gc.collect()
hops = 0
while isinstance(result, ray.ObjectRef):
    result = ray.get(result)
    hops += 1
print(hops, result)
r = ray.put(b"y" * 3000000)
many = [later.remote({"in": (r,)}) for _ in range(8)]
del r
gc.collect()
print(ray.get(many))
a = ray.put([ray.put([ray.put([ray.put("four deep")])])])
x = a
del a
gc.collect()
while isinstance(x, ray.ObjectRef):
    x = ray.get(x)
    x = x[0] if isinstance(x, list) else x
print(x)
