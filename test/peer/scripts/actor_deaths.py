# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os
import time

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(num_cpus=0)
class A:
    def __init__(self, fail=False):
        if fail:
            raise ValueError("no")

    def m(self):
        return 1

    def pid(self):
        return os.getpid()

    def exits(self, code):
        os._exit(code)

    def system_exit(self):
        raise SystemExit(3)

    def leaves(self):
        ray.actor.exit_actor()


def text(label, function):
    try:
        report.print(label, function())
    except ray.exceptions.RayActorError as e:
        report.print(label, type(e).__name__, e.actor_init_failed)
        for line in str(e).splitlines():
            report.print("   ", line.strip())


a = A.remote()
ray.get(a.m.remote())
text("exit", lambda: ray.get(a.exits.remote(0)))
text("after exit", lambda: ray.get(a.m.remote()))
a = A.remote()
ray.get(a.m.remote())
text("exit 5", lambda: ray.get(a.exits.remote(5)))
a = A.options(name="named").remote()
os.kill(ray.get(a.pid.remote()), 9)
text("kill -9", lambda: ray.get(a.m.remote()))
a = A.remote()
ray.get(a.m.remote())
ray.kill(a)
text("ray.kill", lambda: ray.get(a.m.remote()))
a = A.remote()
ray.kill(a)
text("killed early", lambda: ray.get(a.m.remote()))
a = A.remote()
text("exit_actor", lambda: ray.get(a.leaves.remote()))
text("after exit_actor", lambda: ray.get(a.m.remote()))
a = A.remote()
text("SystemExit", lambda: ray.get(a.system_exit.remote()))
a = A.remote(True)
text("init", lambda: ray.get(a.m.remote()))
text("init again", lambda: ray.get(a.m.remote()))
a = A.remote()
text("terminate", lambda: ray.get(a.__ray_terminate__.remote()))
report.end()
