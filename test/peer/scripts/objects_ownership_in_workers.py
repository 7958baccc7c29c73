# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc
import time

ray.init(num_cpus=4, log_to_driver=False)


@ray.remote
def leaf(x):
    return x + 1


@ray.remote
def tree(depth):
    if depth == 0:
        return ray.put(1) if False else 1
    return sum(ray.get([tree.remote(depth - 1), tree.remote(depth - 1)]))


@ray.remote
def returns_reference(x):
    return leaf.remote(x)


@ray.remote
class Maker:
    def __init__(self):
        self.made = []

    def make(self, n):
        self.made = [ray.put(("made", i)) for i in range(n)]
        return list(self.made)

    def forget(self):
        self.made = []


print(ray.get(tree.remote(3)))
r = returns_reference.remote(4)
inner = ray.get(r)
print(type(inner).__name__, ray.get(inner))
print(ray.get(leaf.remote(ray.get(returns_reference.remote(6)))))
m = Maker.remote()
refs = ray.get(m.make.remote(5))
ray.get(m.forget.remote())
gc.collect()
time.sleep(0.3)
print(ray.get(refs))


@ray.remote
def check(box):
    return [ray.get(r) for r in box]


print(ray.get(check.remote(refs)), ray.get(m.make.remote(0)))
