# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import numpy as np

ray.init(num_cpus=2, object_store_memory=100 * 1024 * 1024, log_to_driver=False)
ok = ray.put(np.zeros(10 * 1024 * 1024, dtype=np.uint8))
print(ray.get(ok).nbytes)
kept = [ray.get(ray.put(np.full(20 * 1024 * 1024, i, dtype=np.uint8))) for i in range(8)]
print([int(k[0]) for k in kept], sum(k.nbytes for k in kept))
big = ray.put(np.ones(150 * 1024 * 1024, dtype=np.uint8))
print(int(ray.get(big)[-1]), ray.get(big).nbytes)


@ray.remote
def large(n):
    return np.ones(n, dtype=np.uint8)


print(ray.get(large.remote(120 * 1024 * 1024)).nbytes)
