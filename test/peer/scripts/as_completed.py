# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def f(x):
    return x


print(sorted(ray.util.as_completed([f.remote(i) for i in range(25)])))
print(sorted(ray.util.map_unordered(f, range(25), backpressure_size=5, chunk_size=2)))
show("chunk", lambda: list(ray.util.as_completed([f.remote(1)], chunk_size=0)))
