# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import os
import time

ray.init(num_cpus=3, log_to_driver=False)


@ray.remote
class Keeper:
    def keep(self, box):
        self.box = box
        return True

    def die(self):
        os._exit(1)


r = ray.put("still here")
large = ray.put("z" * 1500000)
for how in ("kill", "exit"):
    k = Keeper.remote()
    print(ray.get(k.keep.remote([r, large])))
    if how == "kill":
        ray.kill(k)
    else:
        try:
            ray.get(k.die.remote())
        except ray.exceptions.RayActorError as e:
            print(type(e).__name__)
    time.sleep(0.3)
    print(ray.get(r), len(ray.get(large)))
