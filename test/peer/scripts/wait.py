# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)
import time


@ray.remote
def after(seconds):
    time.sleep(seconds)
    return seconds


quick = [ray.put(i) for i in range(3)]
slow = after.remote(30)
ready, rest = ray.wait([slow, *quick], num_returns=2)
print(len(ready), slow in rest, sorted(ray.get(ready + rest[1:])))
ready, rest = ray.wait([slow, quick[0]], timeout=0.1, num_returns=2)
print(ready == [quick[0]], rest == [slow])
ready, rest = ray.wait([slow], timeout=0)
print(ready, rest == [slow])
print(ray.wait([]), ray.wait([], num_returns=3))
x = after.remote(0.2)
ready, rest = ray.wait([x])
print(ready == [x], rest)
for label, call in [
    ("a number", lambda: ray.wait(1)),
    ("a list of numbers", lambda: ray.wait([1])),
    ("a tuple", lambda: ray.wait((quick[0],))),
    ("too many", lambda: ray.wait(quick, num_returns=4)),
    ("none", lambda: ray.wait(quick, num_returns=0)),
    ("negative time", lambda: ray.wait(quick, timeout=-1)),
    ("twice the same", lambda: ray.wait([quick[0], quick[0]])),
]:
    show(label, call)
