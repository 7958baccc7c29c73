import multiprocessing
import os
import time

import ray
from _show import show
from ray.util.multiprocessing import Pool, TimeoutError

ray.init(num_cpus=2, log_to_driver=False)


def double(x):
    return 2 * x


def add(a, b, c=0):
    return a + b + c


def fails(x):
    if x == 2:
        raise ValueError("two")
    return x


def slow(x):
    time.sleep(x)
    return x


with Pool(2) as pool:
    print(pool.map(double, range(7)), pool.map(double, range(5), chunksize=2), pool.map(double, []))
    print(pool.apply(add, (1, 2), {"c": 3}), pool.starmap(add, [(1, 2), (3, 4)]))
    result = pool.apply_async(add, (1, 2))
    print(result.get(), result.ready(), result.successful())
    print(list(pool.imap(double, range(5))), sorted(pool.imap_unordered(double, range(5), chunksize=2)))
    show("fails", lambda: pool.map(fails, range(4)))
    failed = pool.apply_async(fails, (2,))
    failed.wait()
    print(failed.ready(), failed.successful())
    late = pool.apply_async(slow, (20,))
    show("late", lambda: late.get(timeout=0.2))
    print(late.ready(), TimeoutError is multiprocessing.TimeoutError)
    show("late", lambda: late.successful() and 1 if False else type(late).__name__)
    print(len({pid for pid in pool.map(lambda _: os.getpid(), range(1), chunksize=1)}))
    seen = []
    done = pool.map_async(double, range(3), callback=seen.append)
    print(done.get(timeout=60))
    show("not callable", lambda: pool.apply_async(None))
show("after the end", lambda: pool.map(double, [1]))
pool.join()
time.sleep(1)
show("too many", lambda: Pool(100))
show("none", lambda: Pool(0))
