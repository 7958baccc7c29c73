# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import numpy as np

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def kind(x, *more, **named):
    return type(x).__name__, len(x), [len(m) for m in more], {k: len(v) for k, v in named.items()}


@ray.remote
def same(x):
    return x


@ray.remote(num_returns=2)
def two(n):
    return b"a" * n, np.zeros(n)


@ray.remote
class A:
    def __init__(self, x):
        self.x = x

    def size(self, y=b""):
        return len(self.x) + len(y)


for n in (10, 99 * 1024, 101 * 1024, 3 * 1024 * 1024):
    print(ray.get(kind.remote(b"x" * n, "y" * n, named=[1] * (n // 8))), len(ray.get(same.remote(b"z" * n))))
    a, b = two.remote(n)
    print(len(ray.get(a)), ray.get(b).shape)
    h = A.remote(b"i" * n)
    print(ray.get(h.size.remote()), ray.get(h.size.remote(b"m" * n)), ray.get(h.size.remote(ray.put(b"r" * n))))
print(ray.get(kind.remote(*[b"k" * 60000 for _ in range(300)]))[1])
print(ray.get(same.remote([np.ones(200000), {"k": np.zeros(5)}]))[0].sum())
