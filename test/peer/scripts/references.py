# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc

ray.init(num_cpus=2)


@ray.remote
def f(x):
    return x


@ray.remote
def inner(refs):
    return [type(r).__name__ for r in refs], ray.get(refs)


@ray.remote
def gives():
    return [ray.put(1), f.remote(2)]


@ray.remote
def total(*xs):
    return sum(xs)


x = f.remote(5)
print(ray.get(f.remote(x)), ray.get(f.remote(f.remote(f.remote(7)))))
print(ray.get(inner.remote([x, ray.put(6)])))
print(ray.get(ray.get(gives.remote())))
print(ray.get(total.remote(*[f.remote(i) for i in range(50)])))
nested = ray.put({"a": [x, {"b": (x,)}]})
del x
gc.collect()
print(ray.get(ray.get(nested)["a"][1]["b"][0]))
big = ray.put(b"x" * 1000000)
print(len(ray.get(f.remote(big))), len(ray.get(ray.get(f.remote([big]))[0])))
r = ray.put(1)
print(r == r, r == ray.put(1), len({r, r}), repr(r) == str(r) == f"ObjectRef({r.hex()})")
print(len(r.binary()), len(r.hex()), r.is_nil(), r.size(), len(r.task_id().hex()), r.job_id().hex())
