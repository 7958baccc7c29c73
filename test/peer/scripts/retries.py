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
def crash_until(name, n):
    k = count(name)
    if k < n:
        os._exit(1)
    return k


@ray.remote(max_retries=2, retry_exceptions=True)
def raise_until(name, n):
    k = count(name)
    if k < n:
        raise ValueError(k)
    return k


@ray.remote(max_retries=5, retry_exceptions=[KeyError])
def only_key_error(name, kind):
    raise kind(count(name))


report.print(ray.get(crash_until.remote("a", 3)))
report.show("too often", lambda: ray.get(crash_until.remote("b", 9)))
report.print(os.path.getsize(os.path.join(folder, "b")))
report.print(ray.get(raise_until.remote("c", 3)))
report.show("raises", lambda: ray.get(raise_until.remote("d", 9)))
report.show("listed", lambda: ray.get(only_key_error.remote("e", KeyError)))
report.show("not listed", lambda: ray.get(only_key_error.remote("f", ValueError)))
report.end()
