# SPDX-License-Identifier: Apache-2.0
import ray

import numpy as np

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def numbers(n):
    for i in range(n):
        yield i


@ray.remote
def arrays(n):
    for i in range(n):
        yield np.full(50_000, i)


@ray.remote
def refs(n):
    for i in range(n):
        yield [ray.put(i)]


print(sum(ray.get(list(numbers.remote(2000)))))
print([int(ray.get(r).sum()) for r in arrays.remote(5)])
print([ray.get(ray.get(r)[0]) for r in refs.remote(5)])
gens = [numbers.remote(10) for _ in range(10)]
left, total = list(gens), 0
while left:
    ready, left = ray.wait(left)
    try:
        total += ray.get(next(ready[0]))
        left += ready
    except StopIteration:
        pass
print(total)
gen = numbers.remote(100)
next(gen)
del gen


@ray.remote
def add(x, y):
    return x + y


gen = numbers.remote(3)
print(ray.get(add.remote(next(gen), next(gen))))
