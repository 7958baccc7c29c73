# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os
import time

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(max_restarts=1, max_task_retries=-1)
class A:
    def __init__(self):
        self.n = 0

    def inc(self):
        self.n += 1
        return self.n

    def pid(self):
        return os.getpid()

    def restarted(self):
        return ray.get_runtime_context().was_current_actor_reconstructed


a = A.remote()
report.print(ray.get([a.inc.remote() for _ in range(3)]), ray.get(a.restarted.remote()))
pid = ray.get(a.pid.remote())
os.kill(pid, 9)
report.print(ray.get(a.inc.remote()), ray.get(a.pid.remote()) != pid, ray.get(a.restarted.remote()))
os.kill(ray.get(a.pid.remote()), 9)
try:
    ray.get(a.inc.remote())
except ray.exceptions.RayActorError as e:
    report.print(type(e).__name__, str(e).splitlines()[0])
report.end()
