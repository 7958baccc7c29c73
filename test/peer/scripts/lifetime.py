# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc
import time

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class A:
    def m(self):
        return 1


def gone(name):
    for _ in range(200):
        try:
            ray.get_actor(name)
        except ValueError:
            return True
        time.sleep(0.05)
    return False


a = A.options(name="normal").remote()
ray.get(a.m.remote())
weak = ray.get_actor("normal")
del a
gc.collect()
print(gone("normal"))
d = A.options(name="kept", lifetime="detached").remote()
ray.get(d.m.remote())
del d
gc.collect()
time.sleep(0.5)
print(ray.get(ray.get_actor("kept").m.remote()))


@ray.remote
def make():
    b = A.options(name="of_task").remote()
    ray.get(b.m.remote())
    return b


b = ray.get(make.remote())
print(ray.get(b.m.remote()))
