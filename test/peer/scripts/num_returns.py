# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(num_returns=2)
def two():
    return 1, 2


@ray.remote(num_returns=2)
def three():
    return [1, 2, 3]


@ray.remote(num_returns=2)
def one():
    return 1


@ray.remote(num_returns=0)
def none():
    return 5


@ray.remote
def many(n):
    return list(range(n))


@ray.remote(num_returns=2)
def fails():
    raise KeyError("k")


a, b = two.remote()
print(ray.get(a), ray.get(b), none.remote())
print(ray.get(many.options(num_returns=4).remote(4)))
print(ray.get(many.options(num_returns=1).remote(3)))
print(ray.get(many.remote(2)))
for f in (three, one, fails):
    refs = f.remote()
    show(f._function_name, lambda: ray.get(refs[0]))
    show(f._function_name, lambda: ray.get(refs[1]))
