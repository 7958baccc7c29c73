# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import warnings

warnings.simplefilter("ignore")
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(num_returns="dynamic")
def numbers(n):
    for i in range(n):
        yield i


ref = numbers.remote(3)
print(type(ref).__name__)
gen = ray.get(ref)
print(type(gen).__name__, len(gen))
refs = list(gen)
print(ray.get(refs), refs[0].task_id() == ref.task_id())


@ray.remote(num_returns="dynamic")
def fails():
    yield 1
    raise ValueError("v")


gen = ray.get(fails.remote())
refs = list(gen)
print(len(refs), ray.get(refs[0]))
try:
    ray.get(refs[1])
except ValueError as e:
    print(type(e).__name__)


@ray.remote
def uses(gen):
    return [ray.get(r) for r in gen]


print(ray.get(uses.remote(numbers.remote(2))))
