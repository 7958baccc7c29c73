# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import os

import numpy as np

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def size(*args, **kwargs):
    return [len(a) for a in args] + [[k, len(v)] for k, v in kwargs.items()]


@ray.remote
def same(array):
    return [array.flags.writeable, float(array.sum())]


@ray.remote
class A:
    def __init__(self, data):
        self.data = data

    def size(self, other):
        return [len(self.data), len(other)]


big = b"x" * 3_000_000
print(ray.get(size.remote(big, big[:10], key=big)))
print(ray.get(size.remote(*[big[:100_000]] * 5)))
array = np.ones(500_000)
print(ray.get(same.remote(array)), ray.get(same.remote(ray.put(array))))
print(ray.get(A.remote(big).size.remote(big[:5_000])))
ref = ray.put(big)
print(ray.get(size.remote(ref, [ref, ref], key=ref)))


def make(n):
    data = os.urandom(n)

    @ray.remote
    def captured():
        return len(data)

    return captured


print(ray.get(make(1000).remote()), ray.get(make(2_000_000).remote()))
show("too large", lambda: make(120 * 1024 * 1024).remote())
inner = ray.put(5)


@ray.remote
def closure():
    return ray.get(inner)


print(ray.get(closure.remote()))
