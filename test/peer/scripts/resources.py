# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import time

ray.init(num_cpus=2, resources={"a": 1, "b": 2}, log_to_driver=False)


@ray.remote
def span(seconds):
    start = time.time()
    time.sleep(seconds)
    return start, time.time()


def overlap(spans):
    spans = sorted(spans)
    return any(later[0] < earlier[1] for earlier, later in zip(spans, spans[1:]))


ray.get([span.remote(0) for _ in range(2)])
print(overlap(ray.get([span.remote(0.5) for _ in range(2)])))
print(overlap(ray.get([span.options(num_cpus=2).remote(0.2) for _ in range(3)])))
print(overlap(ray.get([span.options(num_cpus=0, resources={"a": 1}).remote(0.2) for _ in range(3)])))
print(overlap(ray.get([span.options(num_cpus=0, resources={"a": 0.5}).remote(0.5) for _ in range(2)])))
ready, rest = ray.wait([span.options(resources={"c": 1}).remote(0)], timeout=0.5)
print(len(ready), len(rest))
total = ray.cluster_resources()
print({k: total[k] for k in ("CPU", "a", "b", "node:__internal_head__")})
print(sorted(k.split(":")[0] for k in total))


@ray.remote(num_cpus=1)
class Holds:
    def m(self):
        return 1


@ray.remote
class Holds0:
    def m(self):
        return 1


def cpus_settle_at(expected):
    for _ in range(100):
        free = ray.available_resources().get("CPU", 0)
        if free == expected:
            break
        time.sleep(0.05)
    return free


h = Holds.remote()
print(ray.get(h.m.remote()), cpus_settle_at(1.0))
z = Holds0.remote()
print(ray.get(z.m.remote()), cpus_settle_at(1.0))
del h
print(cpus_settle_at(2.0))
