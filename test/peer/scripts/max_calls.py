# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import os

ray.init(num_cpus=1, log_to_driver=False)


@ray.remote(max_calls=1)
def once():
    return os.getpid()


@ray.remote(max_calls=3)
def thrice():
    return os.getpid()


@ray.remote
def often():
    return os.getpid()


def runs(values):
    lengths, last = [], None
    for value in values:
        if value != last:
            lengths.append(0)
        lengths[-1] += 1
        last = value
    return lengths


print(runs([ray.get(once.remote()) for _ in range(3)]))
print(runs([ray.get(thrice.remote()) for _ in range(7)]))
print(runs([ray.get(often.remote()) for _ in range(5)]))


@ray.remote(max_calls=1)
def fails():
    raise ValueError(os.getpid())


pids = []
for _ in range(2):
    try:
        ray.get(fails.remote())
    except ValueError as e:
        pids.append(str(e.cause))
print(runs(pids))
show("options", lambda: once.options(max_calls=2))
show("negative", lambda: ray.remote(max_calls=-1)(lambda: 1))
print(len(set(ray.get([once.remote() for _ in range(4)]))))
