# SPDX-License-Identifier: Apache-2.0
import multiprocessing

import ray
from _show import show
from ray.util.multiprocessing import Pool

ray.init(num_cpus=2, log_to_driver=False)


def double(x):
    return 2 * x


def add(x, y):
    return x + y


def fail(x):
    raise ValueError(f"no {x}")


seen = []
with Pool(2) as pool:
    print(pool.apply(add, (1,), {"y": 2}))
    result = pool.apply_async(double, (4,), callback=seen.append)
    print(result.get(timeout=30), result.ready(), result.successful(), seen)
    print(pool.map(double, range(5)), pool.map(double, range(5), chunksize=2))
    print(pool.starmap(add, [(1, 2), (3, 4)]))
    print(list(pool.imap(double, range(4), chunksize=2)))
    print(sorted(pool.imap_unordered(double, range(4), chunksize=1)))
    wait = pool.map_async(double, [1, 2, 3])
    wait.wait(30)
    print(wait.ready(), wait.get())
    bad = pool.apply_async(fail, (1,), error_callback=lambda e: seen.append(type(e).__name__))
    bad.wait(30)
    print(bad.successful(), len(seen))
    try:
        bad.get()
    except ValueError as e:
        print(isinstance(e, ValueError), "no 1" in str(e))
    print(isinstance(pool.starmap_async(add, [(1, 1)]).get(), list))
show("closed", lambda: pool.map(double, [1]))
show("no processes", lambda: Pool(0))
show("no iterable", lambda: Pool(1).map(double, 3))
