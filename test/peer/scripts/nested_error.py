# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2)


@ray.remote
def bad(x):
    raise ValueError("boom", x)


@ray.remote
def outer():
    return ray.get(bad.remote(9))


@ray.remote
def swallow():
    try:
        ray.get(bad.remote(1))
    except ValueError as e:
        return type(e).__name__, e.cause.args


show("outer", lambda: ray.get(outer.remote()))
print(ray.get(swallow.remote()))
