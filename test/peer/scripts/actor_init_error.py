# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import time

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class A:
    def __init__(self, x):
        raise RuntimeError("no", x)

    def m(self):
        return 1


a = A.remote(1)
show("first", lambda: ray.get(a.m.remote()))
time.sleep(0.5)
show("later", lambda: ray.get(a.m.remote()))
try:
    ray.get(a.m.remote())
except ray.exceptions.RayActorError as e:
    print(e.actor_init_failed, len(e.actor_id), e.preempted, type(e).__name__)
