# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import threading

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(max_pending_calls=3, max_concurrency=4)
class A:
    def __init__(self):
        self.event = threading.Event()

    def waits(self):
        return self.event.wait(30)

    def sets(self):
        self.event.set()


a = A.remote()
refs = [a.waits.remote() for _ in range(3)]
show("full", lambda: a.waits.remote())


@ray.remote
def another(handle):
    handle.sets.remote()
    return "sent"


print(ray.get(another.remote(a)), ray.get(refs))
print(ray.get(a.waits.remote()))
show("zero", lambda: A.options(max_pending_calls=0) and None)
show("negative", lambda: A.options(max_pending_calls=-2) and None)
b = A.options(max_pending_calls=-1).remote()
refs = [b.waits.remote() for _ in range(50)]
b2 = A.options(max_pending_calls=1).remote()
ray.get(b2.sets.remote())
try:
    for _ in range(1000):
        b2.waits.remote()
except ray.exceptions.PendingCallsLimitExceeded as e:
    print(type(e).__name__)
