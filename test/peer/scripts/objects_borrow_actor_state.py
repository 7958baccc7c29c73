# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc
import time

ray.init(num_cpus=3, log_to_driver=False)


@ray.remote
class Keeper:
    def keep(self, box):
        self.box = box

    def read(self):
        return ray.get(self.box[0])

    def pass_on(self, other):
        return ray.get(other.keep.remote(self.box))

    def drop(self):
        self.box = None

    def share(self):
        return self.box


@ray.remote
def f(x):
    return "value %d" % x


a, b = Keeper.remote(), Keeper.remote()
r = f.remote(3)
ray.get(a.keep.remote([r]))
del r
gc.collect()
time.sleep(0.3)
print(ray.get(a.read.remote()))
ray.get(a.pass_on.remote(b))
ray.get(a.drop.remote())
time.sleep(0.3)
print(ray.get(b.read.remote()))
back = ray.get(b.share.remote())[0]
ray.get(b.drop.remote())
ray.kill(b)
time.sleep(0.3)
print(ray.get(back))
large = ray.put("x" * 2000000)
ray.get(a.keep.remote([large]))
del large
gc.collect()
time.sleep(0.3)
print(len(ray.get(a.read.remote())))
print(ray.get(a.share.remote())[0].size())
