# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os
import tempfile
import time

report = Report()
ray.init(num_cpus=2, log_to_driver=False)
folder = tempfile.mkdtemp()


def mark(name):
    with open(os.path.join(folder, name), "a") as f:
        f.write("x")


def marked(name, seconds=20):
    path = os.path.join(folder, name)
    deadline = time.time() + seconds
    while not os.path.exists(path) and time.time() < deadline:
        time.sleep(0.01)
    return os.path.getsize(path) if os.path.exists(path) else 0


@ray.remote(max_retries=3)
def stubborn(name):
    mark(name)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass


@ray.remote
def fine():
    return "fine"


ref = stubborn.remote("a")
marked("a")
ray.cancel(ref, force=True)
report.show("force", lambda: ray.get(ref, timeout=30))
report.print(marked("a"), ray.get(fine.remote()))

@ray.remote
class A:
    def m(self):
        return 1


a = A.remote()
ref = a.m.remote()
report.show("actor", lambda: ray.cancel(ref, force=True))
report.print(ray.get(ref))
report.show("a string", lambda: ray.cancel("x"))
report.show("of a put", lambda: ray.cancel(ray.put(1)))
report.end()
