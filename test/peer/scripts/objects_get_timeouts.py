# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import time

ray.init(num_cpus=1, log_to_driver=False)


@ray.remote
def slow():
    time.sleep(100)


@ray.remote
def inside(box):
    try:
        ray.get(box[0], timeout=0.2)
    except ray.exceptions.GetTimeoutError as e:
        return type(e).__name__, str(e), isinstance(e, TimeoutError)


s = slow.remote()
for t in (0, 0.05, 0.5):
    show(f"timeout {t}", lambda: ray.get(s, timeout=t))
show("list", lambda: ray.get([ray.put(1), s], timeout=0.1))
show("ready", lambda: ray.get(ray.put(5), timeout=0))
begin = time.time()
try:
    ray.get(s, timeout=1)
except ray.exceptions.GetTimeoutError:
    print(0.9 < time.time() - begin < 3)
print(ray.wait([s], timeout=0.1) == ([], [s]))
ray.cancel(s, force=True)
print(ray.get(inside.options(num_cpus=0).remote([slow.options(num_cpus=0).remote()])))
