# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import time

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def slow():
    time.sleep(60)


@ray.remote
def after(x):
    return x


first = slow.remote()
second = after.remote(first)
third = after.remote(second)
ray.cancel(second)
report.show("second", lambda: ray.get(second, timeout=30))
report.print(ray.wait([first], timeout=0.1)[0])
for name, ref in (("third", third),):
    try:
        ray.get(ref, timeout=30)
    except ray.exceptions.RayError as e:
        report.print(name, type(e).__name__, isinstance(e, ray.exceptions.TaskCancelledError))
report.end()
