# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import asyncio
import time

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def endless():
    i = 0
    while True:
        yield i
        i += 1
        time.sleep(0.05)


@ray.remote
class Async:
    async def endless(self):
        i = 0
        while True:
            yield i
            i += 1
            await asyncio.sleep(0.05)

    async def fine(self):
        return "fine"


def ends(name, gen):
    report.print(name, ray.get(next(gen)))
    ray.cancel(gen)
    error = None
    for ref in gen:
        try:
            ray.get(ref)
        except ray.exceptions.RayError as e:
            error = e
    report.print(type(error).__name__, isinstance(error, ray.exceptions.TaskCancelledError))
    report.print(gen.is_finished())
    try:
        report.print(ray.get(gen.completed()))
    except ray.exceptions.RayError as e:
        report.print(type(e).__name__)


ends("task", endless.remote())
a = Async.remote()
ends("async actor", a.endless.remote())
report.print(ray.get(a.fine.remote()))


@ray.remote(num_cpus=2)
def all_cpus():
    time.sleep(1)


blocker = all_cpus.remote()
time.sleep(0.5)
gen = endless.remote()
ray.cancel(gen)
try:
    ray.get(next(gen))
except ray.exceptions.TaskCancelledError as e:
    report.print("queued", type(e).__name__)
ray.get(blocker)
report.end()
