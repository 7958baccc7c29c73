# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import warnings

warnings.simplefilter("ignore")
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def plain():
    return 1


@ray.remote
def numbers():
    yield 1


show("streaming of plain", lambda: plain.options(num_returns="streaming"))
show("dynamic of plain", lambda: plain.options(num_returns="dynamic"))
show("word", lambda: plain.options(num_returns="word"))
show("negative", lambda: plain.options(num_returns=-3))
show("per yield", lambda: numbers.options(_num_objects_per_yield=2))
show("per yield 0", lambda: ray.remote(_num_objects_per_yield=0)(lambda: 1))


@ray.remote(num_returns=2)
def two():
    yield 1
    yield 2


print(ray.get(two.remote()))


@ray.remote(num_returns=1)
def one():
    yield 1


def outcome(function):
    try:
        return repr(function())
    except Exception as e:
        return f"{type(e).__name__}: {str(e).splitlines()[-1]}"


print(outcome(lambda: ray.get(one.remote())))


@ray.remote(num_returns=3)
def three():
    yield 1


for i in range(3):
    print(outcome(lambda: ray.get(three.remote()[i])))


@ray.remote(num_returns=2)
def too_many():
    yield 1
    yield 2
    yield 3


for i in range(2):
    print(outcome(lambda: ray.get(too_many.remote()[i])))


@ray.remote
class A:
    def m(self):
        return 1


a = A.remote()
show("method", lambda: a.m.options(num_returns="streaming").remote())
