# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os
import tempfile
import time

report = Report()
ray.init(num_cpus=4, log_to_driver=False)
folder = tempfile.mkdtemp()


def mark(name):
    with open(os.path.join(folder, name), "a") as f:
        f.write("x")


def marked(name, seconds=20):
    path = os.path.join(folder, name)
    deadline = time.time() + seconds
    while not os.path.exists(path) and time.time() < deadline:
        time.sleep(0.01)
    return os.path.exists(path)


@ray.remote
def leaf(name):
    mark(name + " began")
    try:
        for _ in range(100):
            time.sleep(0.02)
    except KeyboardInterrupt:
        mark(name + " interrupted")
        raise
    mark(name + " ended")


@ray.remote
def middle(name):
    return ray.get(leaf.remote(name))


@ray.remote
def top(name):
    return ray.get(middle.remote(name))


def outcome(ref):
    try:
        return ray.get(ref, timeout=30)
    except ray.exceptions.RayError as e:
        return isinstance(e, ray.exceptions.TaskCancelledError)


ref = top.remote("r")
marked("r began")
ray.cancel(ref)
report.print(outcome(ref), marked("r interrupted"), marked("r ended", 0))
ref = top.remote("n")
marked("n began")
ray.cancel(ref, recursive=False)
report.print(outcome(ref), marked("n ended"), marked("n interrupted", 0))


@ray.remote
class A:
    def run(self, name):
        return ray.get(leaf.remote(name))


a = A.remote()
ref = a.run.remote("a")
marked("a began")
ray.cancel(ref)
report.print(outcome(ref), marked("a interrupted"), marked("a ended", 0))
report.end()
