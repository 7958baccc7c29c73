# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import time

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class A:
    def m(self):
        return 1


a = A.options(name="n").remote()
print(ray.get(a.m.remote()))
ray.kill(a)
show("killed", lambda: ray.get(a.m.remote()))
for _ in range(100):
    try:
        ray.get_actor("n")
        time.sleep(0.05)
    except ValueError:
        break
show("gone", lambda: ray.get_actor("n"))
show("kill of a number", lambda: ray.kill(1))
show("kill of a reference", lambda: ray.kill(ray.put(1)))
show("cancel of a number", lambda: ray.cancel(1))
show("cancel of an actor", lambda: ray.cancel(a))
try:
    ray.get(a.m.remote())
except ray.exceptions.RayActorError as e:
    print(type(e).__name__, e.actor_init_failed, e.actor_id == a._actor_id.hex())
