# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import threading

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def f(x):
    return x * 2


@ray.remote
def threads_in_task(n):
    out = []

    def run(i):
        out.append(ray.get(f.options(num_cpus=0).remote(i)))

    ts = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    return sorted(out)


results, lock = [], threading.Lock()


def work(k):
    for i in range(30):
        v = ray.get(f.remote(k * 100 + i)) + ray.get(ray.put(1))
        with lock:
            results.append(v)


ts = [threading.Thread(target=work, args=(k,)) for k in range(6)]
[t.start() for t in ts]
[t.join() for t in ts]
print(len(results), sum(results))
shared = f.remote(21)
got = []
ts = [threading.Thread(target=lambda: got.append(ray.get(shared))) for _ in range(8)]
[t.start() for t in ts]
[t.join() for t in ts]
print(got)
print(ray.get(threads_in_task.remote(5)))
