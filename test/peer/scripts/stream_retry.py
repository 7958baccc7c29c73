# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os
import tempfile

report = Report()
ray.init(num_cpus=2, log_to_driver=False)
folder = tempfile.mkdtemp()


def count(name):
    path = os.path.join(folder, name)
    with open(path, "a") as f:
        f.write("x")
    return os.path.getsize(path)


@ray.remote(max_retries=2)
def crashes_once(name):
    for i in range(4):
        yield i
        if i == 1 and count(name) == 1:
            import time

            time.sleep(0.3)
            os._exit(1)


@ray.remote(max_retries=2, retry_exceptions=True)
def raises_once(name):
    for i in range(4):
        yield i
        if i == 1 and count(name) == 1:
            raise ValueError("again")


@ray.remote(max_retries=2, retry_exceptions=[KeyError])
def raises_other(name):
    yield 1
    count(name)
    raise ValueError("no more")


report.print(ray.get(list(crashes_once.remote("a"))))
report.print(ray.get(list(raises_once.remote("b"))))
refs = list(raises_other.remote("c"))
report.print(len(refs), os.path.getsize(os.path.join(folder, "c")))


@ray.remote(max_retries=1, retry_exceptions=True)
def always(name):
    count(name)
    yield 1
    raise ValueError("always")


refs = list(always.remote("d"))
report.print(len(refs), os.path.getsize(os.path.join(folder, "d")))
report.show("last", lambda: ray.get(refs[-1]))


@ray.remote(max_restarts=-1, max_task_retries=-1)
class A:
    def numbers(self, name):
        for i in range(4):
            yield i
            if i == 1 and count(name) == 1:
                os._exit(1)


report.print(ray.get(list(A.remote().numbers.remote("e"))))
report.end()
