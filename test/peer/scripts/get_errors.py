# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)
import time


@ray.remote
def slow():
    time.sleep(2)


@ray.remote
def quick(x):
    return x


for label, call in [
    ("a number", lambda: ray.get(1)),
    ("a list of numbers", lambda: ray.get([1])),
    ("a tuple", lambda: ray.get((quick.remote(1),))),
    ("None", lambda: ray.get(None)),
    ("a list", lambda: ray.get([quick.remote(1), quick.remote(2)])),
    ("an empty list", lambda: ray.get([])),
    ("the same twice", lambda: ray.get([ray.put(1)] * 2)),
    ("timeout 0", lambda: ray.get(slow.remote(), timeout=0)),
    ("timeout", lambda: ray.get(slow.remote(), timeout=0.1)),
    ("timeout -1", lambda: ray.get(quick.remote(3), timeout=-1)),
    ("timeout None", lambda: ray.get(quick.remote(3), timeout=None)),
    ("put of a reference", lambda: ray.put(ray.put(1))),
    ("put in a list", lambda: ray.get(ray.get(ray.put([ray.put(1)]))[0])),
]:
    show(label, call)
