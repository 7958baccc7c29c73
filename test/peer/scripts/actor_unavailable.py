# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os
import tempfile
import time

report = Report()
ray.init(num_cpus=2, log_to_driver=False)
folder = tempfile.mkdtemp()


@ray.remote(max_restarts=1)
class A:
    def __init__(self):
        self.n = 0

    def m(self):
        self.n += 1
        return self.n

    def pid(self):
        return os.getpid()

    def hang(self, path):
        open(path, "w").close()
        time.sleep(60)

    def restarted(self):
        return ray.get_runtime_context().was_current_actor_reconstructed


a = A.remote()
pid = ray.get(a.pid.remote())
path = os.path.join(folder, "began")
ref = a.hang.remote(path)
while not os.path.exists(path):
    time.sleep(0.01)
os.kill(pid, 9)
try:
    ray.get(ref)
except ray.exceptions.RayActorError as e:
    report.print(type(e).__name__, isinstance(e, ray.exceptions.ActorDiedError))
    report.print(str(e).split(":")[0].replace(a._actor_id.hex(), "ACTOR"))
    report.print(str(e).splitlines()[-1].rsplit(".", 2)[-2])


def alive():
    deadline = time.time() + 30
    while time.time() < deadline:
        try:
            return ray.get(a.m.remote())
        except ray.exceptions.ActorUnavailableError:
            time.sleep(0.05)


report.print(alive(), ray.get(a.restarted.remote()), ray.get(a.m.remote()))
b = A.options(max_restarts=2, max_task_retries=1).remote()
pid = ray.get(b.pid.remote())
ray.kill(b, no_restart=False)
deadline = time.time() + 30
while time.time() < deadline:
    try:
        new = ray.get(b.pid.remote())
        if new != pid:
            break
    except ray.exceptions.RayActorError:
        pass
    time.sleep(0.05)
report.print(new != pid, ray.get(b.restarted.remote()))
report.end()
