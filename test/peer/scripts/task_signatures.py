# SPDX-License-Identifier: Apache-2.0
import functools

import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def f(a, b=2, /, c=3, *, d, e=5):
    return a, b, c, d, e


@ray.remote
def rest(*args, **kwargs):
    return args, sorted(kwargs.items())


def other(x, y=1):
    return x + y


print(ray.get(f.remote(1, d=4)), ray.get(f.remote(1, 2, 9, d=4, e=6)), ray.get(f.remote(1, 2, c=7, d=8)))
for label, call in [
    ("nothing", lambda: f.remote()),
    ("keyword missing", lambda: f.remote(1)),
    ("too many", lambda: f.remote(1, 2, 3, 4, d=5)),
    ("positional by name", lambda: f.remote(a=1, d=4)),
    ("unknown", lambda: f.remote(1, d=4, z=1)),
    ("twice", lambda: f.remote(1, 2, 3, c=4, d=5)),
]:
    show(label, call)
print(ray.get(rest.remote()), ray.get(rest.remote(1, 2, x=3)), ray.get(rest.remote(*range(50))) [0][-1])
print(ray.get(rest.remote(ray.put(1), k=ray.put(2))), ray.get(rest.remote(None, k=None)))
made = ray.remote(other)
print(ray.get(made.remote(1)), ray.get(made.remote(y=3, x=2)))
show("partial", lambda: ray.get(ray.remote(functools.partial(other, y=5)).remote(1)))
show("builtin", lambda: ray.get(ray.remote(len).remote([1, 2])))
show("bound method", lambda: ray.get(ray.remote("abc".upper).remote()))


@ray.remote
def recursive(n):
    return 1 if n == 0 else n * ray.get(recursive.remote(n - 1))


print(ray.get(recursive.remote(5)))


@ray.remote
def gives(kind):
    return {"none": None, "tuple": (1, 2), "ref": ray.put(3), "error": ValueError("a value")}[kind]


print(ray.get(gives.remote("none")), ray.get(gives.remote("tuple")), ray.get(ray.get(gives.remote("ref"))))
print(repr(ray.get(gives.remote("error"))))
