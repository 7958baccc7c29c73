# SPDX-License-Identifier: Apache-2.0
import time

import ray
from _show import show

ray.init(num_cpus=1, resources={"disk": 1}, log_to_driver=False)


@ray.remote(num_cpus=0)
def f():
    return sorted(ray.get_runtime_context().get_assigned_resources().items())


@ray.remote(num_cpus=0, resources={"disk": 0.5})
class A:
    def m(self):
        return sorted(ray.get_runtime_context().get_assigned_resources().items())


print(ray.get(f.options(resources={"disk": 0.25}).remote()))
print(ray.get(f.options(num_cpus=0.1, memory=1000).remote()))
print(ray.get(f.options(num_cpus=0.0001).remote()))
show("too fine", lambda: f.options(num_cpus=0.00001))
show("negative", lambda: f.options(resources={"disk": -1}))
show("CPU", lambda: f.options(resources={"CPU": 1}))
show("memory", lambda: f.options(resources={"memory": 1}).remote())
actors = [A.remote() for _ in range(3)]
print([ray.get(a.m.remote()) for a in actors[:2]])
print(len(ray.wait([actors[2].m.remote()], timeout=1)[0]))
ray.kill(actors[0])
print(ray.get(actors[2].m.remote()))
for _ in range(100):
    free = ray.available_resources().get("disk", 0.0)
    if free == 0.0:
        break
    time.sleep(0.05)
print(free)
