# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(max_retries=0)
def crash():
    os._exit(3)


@ray.remote(max_retries=0)
def by_signal():
    os.kill(os.getpid(), 9)


@ray.remote
def fine():
    return 1


report.show("exit", lambda: ray.get(crash.remote()))
report.show("signal", lambda: ray.get(by_signal.remote()))
report.print(ray.get(fine.remote()))


@ray.remote
class A:
    def die(self):
        os._exit(1)

    def m(self):
        return 1


a = A.remote()
try:
    ray.get(a.die.remote())
except ray.exceptions.ActorDiedError as e:
    report.print(str(e).splitlines()[0], e.actor_init_failed)
try:
    ray.get(a.m.remote())
except ray.exceptions.ActorDiedError as e:
    report.print(str(e).splitlines()[:2])
report.end()
