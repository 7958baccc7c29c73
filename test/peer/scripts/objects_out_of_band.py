# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc
import time

import ray.cloudpickle as cloudpickle

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def load(data):
    return ray.get(cloudpickle.loads(data))


@ray.remote
class Actor:
    def load(self, data):
        self.ref = cloudpickle.loads(data)
        return True

    def read(self):
        return ray.get(self.ref)

    def dump(self):
        return cloudpickle.dumps(ray.put("from the actor"))


r = ray.put("out of band")
data = cloudpickle.dumps({"ref": r})
del r
gc.collect()
time.sleep(0.2)
print(ray.get(cloudpickle.loads(data)["ref"]))
r = ray.put("once more")
data = cloudpickle.dumps(r)
print(cloudpickle.loads(data) == r, cloudpickle.loads(data) is r)
del r
gc.collect()
print(ray.get(load.remote(data)))
a = Actor.remote()
print(ray.get(a.load.remote(data)), ray.get(a.read.remote()))
theirs = cloudpickle.loads(ray.get(a.dump.remote()))
gc.collect()
print(ray.get(theirs))
