# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def make(n):
    return [ray.put(i) for i in range(n)]


@ray.remote
def add(box):
    return sum(ray.get(box))


@ray.remote
def one(i):
    return i


refs = [ray.put(i) for i in range(10000)]
box = ray.put(refs)
print(len(ray.get(box)), ray.get(box)[77] == refs[77])
del refs
gc.collect()
print(sum(ray.get(ray.get(box))))
theirs = ray.get(make.remote(2000))
print(sum(ray.get(theirs)), ray.get(add.remote(theirs)))
many = [one.remote(i) for i in range(3000)]
ready, rest = ray.wait(many, num_returns=3000)
print(len(ready), len(rest), ray.get(many) == list(range(3000)))
left, order = list(many), []
while left:
    ready, left = ray.wait(left, num_returns=min(500, len(left)))
    order += ray.get(ready)
print(sorted(order) == list(range(3000)))
