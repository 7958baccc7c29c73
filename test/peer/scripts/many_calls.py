# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class Counter:
    def __init__(self):
        self.n = 0

    def inc(self):
        self.n += 1
        return self.n


@ray.remote
def square(x):
    return x * x


c = Counter.remote()
refs = [c.inc.remote() for _ in range(3000)]
print(ray.get(refs) == list(range(1, 3001)))
print(sum(ray.get([square.remote(i) for i in range(1000)])))


@ray.remote
class Slow:
    def m(self, x):
        return x


s = Slow.options(max_pending_calls=5).remote()
try:
    for i in range(1000):
        s.m.remote(i)
    print("all taken")
except ray.exceptions.PendingCallsLimitExceeded as e:
    print(type(e).__name__)
