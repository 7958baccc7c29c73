# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import time

ray.init(num_cpus=1, log_to_driver=False)


@ray.remote
def block():
    time.sleep(1.5)
    return "blocked"


@ray.remote
def never():
    return 1


first = block.remote()
time.sleep(0.5)
queued = never.remote()
ray.cancel(queued)
show("queued", lambda: ray.get(queued))
print(ray.get(first))
ray.cancel(first)
print(ray.get(first))
