# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report, show

import os

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def fails(n):
    for i in range(n):
        yield i
    raise ValueError(f"after {n}")


for n in (0, 2):
    gen = fails.remote(n)
    refs = list(gen)
    report.print(len(refs), ray.get(refs[:-1]))
    try:
        ray.get(refs[-1])
    except ValueError as e:
        report.print(type(e).__name__, str(e).splitlines()[-1], repr(e.cause))
    report.show("completed", lambda: ray.get(gen.completed()))
    report.print(gen.is_finished(), gen.next_ready())


@ray.remote(num_returns="streaming", max_retries=0)
def dies(n):
    for i in range(n):
        yield i
    os._exit(1)


gen = dies.remote(0)
ref = next(gen)
report.show("died", lambda: ray.get(ref))
report.show("completed", lambda: ray.get(gen.completed()))
report.print(ref == gen.completed(), gen.is_finished())
report.show("next", lambda: next(gen))


def bad():
    raise KeyError("argument")


@ray.remote
def argument():
    bad()


@ray.remote
def plain(x):
    yield x


gen = plain.remote(argument.remote())
ref = next(gen)
report.print(ref == gen.completed())
report.show("argument", lambda: ray.get(ref))
report.show("next", lambda: next(gen))


@ray.remote
def unpicklable():
    yield 1
    import threading

    yield threading.Lock()


gen = unpicklable.remote()
report.print(ray.get(next(gen)))
try:
    ray.get(next(gen))
except Exception as e:
    report.print(type(e).__name__, str(e).splitlines()[-1])
report.show("next", lambda: next(gen))
report.end()
