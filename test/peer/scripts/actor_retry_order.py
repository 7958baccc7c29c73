# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os
import tempfile
import time

report = Report()
ray.init(num_cpus=2, log_to_driver=False)
folder = tempfile.mkdtemp()


@ray.remote(max_restarts=-1, max_task_retries=-1)
class A:
    def __init__(self):
        self.seen = []

    def add(self, i):
        self.seen.append(i)
        path = os.path.join(folder, "died")
        if i == 3 and not os.path.exists(path):
            open(path, "w").close()
            os._exit(1)
        return i

    def get(self):
        return self.seen


a = A.remote()
report.print(ray.get([a.add.remote(i) for i in range(8)]))
seen = ray.get(a.get.remote())
report.print(set(seen) <= set(range(8)))


@ray.remote(max_restarts=2, max_task_retries=1)
class B:
    def dies(self, name):
        path = os.path.join(folder, name)
        with open(path, "a") as f:
            f.write("x")
        os._exit(1)

    def tries(self, name):
        return os.path.getsize(os.path.join(folder, name))


b = B.remote()
try:
    ray.get(b.dies.remote("b"))
except ray.exceptions.RayActorError as e:
    report.print(isinstance(e, ray.exceptions.RayActorError))
report.print(os.path.getsize(os.path.join(folder, "b")))
report.end()
