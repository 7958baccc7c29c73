# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=1, log_to_driver=False)


@ray.remote
def leaf(x):
    return x + 1


@ray.remote
def tree(depth):
    if depth == 0:
        return 1
    return sum(ray.get([tree.remote(depth - 1), tree.remote(depth - 1)]))


@ray.remote
def waits():
    ready, _ = ray.wait([leaf.remote(1)])
    return ray.get(ready[0])


print(ray.get(tree.remote(3)), ray.get(waits.remote()))
