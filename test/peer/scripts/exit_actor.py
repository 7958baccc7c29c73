# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class A:
    def stop(self):
        ray.actor.exit_actor()

    def m(self):
        return 1


a = A.remote()
print(ray.get(a.m.remote()))
show("exit", lambda: ray.get(a.stop.remote()))
show("after", lambda: ray.get(a.m.remote()))
show("driver", lambda: ray.actor.exit_actor())
b = A.remote()
print(ray.get(b.m.remote()))
show("terminate", lambda: ray.get(b.__ray_terminate__.remote()))
