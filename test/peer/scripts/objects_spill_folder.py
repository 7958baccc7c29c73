# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc
import os
import tempfile
import time

import numpy as np

folder = tempfile.mkdtemp()
ray.init(num_cpus=2, object_store_memory=80 * 1024 * 1024, log_to_driver=False, object_spilling_directory=folder)


def size(path):
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def spilled():
    return sum(size(os.path.join(d, f)) for d, _, files in os.walk(folder) for f in files)


def until(check):
    deadline = time.time() + 30
    while not check() and time.time() < deadline:
        time.sleep(0.05)
    return check()


print(spilled())
refs = [ray.put(np.full(8 * 1024 * 1024, i, dtype=np.uint8)) for i in range(30)]
print(until(lambda: spilled() >= 100 * 1024 * 1024), [d.split("_")[0:3] for d in os.listdir(folder)])
print(all(int(ray.get(r)[5]) == i for i, r in enumerate(refs)))
del refs
gc.collect()
print(until(lambda: spilled() == 0))
