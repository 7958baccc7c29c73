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


def marked(name, seconds=60):
    path = os.path.join(folder, name)
    deadline = time.time() + seconds
    while not os.path.exists(path) and time.time() < deadline:
        time.sleep(0.01)
    return os.path.getsize(path) if os.path.exists(path) else 0


@ray.remote(max_retries=0)
def sleeps(name):
    mark(name)
    for _ in range(3000):
        time.sleep(0.02)


@ray.remote(max_retries=0)
def spins(name):
    mark(name)
    while True:
        pass


@ray.remote
def fine():
    return "fine"


def outcome(ref):
    try:
        return ray.get(ref, timeout=8)
    except ray.exceptions.RayError as e:
        kind = "task error" if isinstance(e, ray.exceptions.RayTaskError) else "plain"
        return [type(e).__name__, isinstance(e, ray.exceptions.TaskCancelledError), kind]


ray.get([fine.remote() for _ in range(4)])
for function in (sleeps, spins):
    name = function._function.__name__
    ref = function.remote(name)
    marked(name)
    ray.cancel(ref)
    report.print(name, outcome(ref), marked(name, 0))
done = fine.remote()
report.print(ray.get(done))
ray.cancel(done)
report.print("ended", outcome(done))
ref = sleeps.remote("t")
marked("t")
ray.cancel(ref)
try:
    ray.get(ref)
except ray.exceptions.TaskCancelledError as e:
    report.print(str(e).splitlines()[0], "|", str(e).splitlines()[-1])
    report.print(type(e.cause).__name__, e.cause)
report.end()
