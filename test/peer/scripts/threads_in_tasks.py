# SPDX-License-Identifier: Apache-2.0
import threading

import ray

ray.init(num_cpus=4, log_to_driver=False)


@ray.remote(num_cpus=0)
def double(x):
    return 2 * x


@ray.remote
def with_threads(n):
    got = {}

    def work(i):
        got[i] = ray.get(double.remote(i))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sorted(got.items())


print(ray.get(with_threads.remote(4)))
results = []


def from_driver(i):
    results.append(ray.get(double.remote(i)))


threads = [threading.Thread(target=from_driver, args=(i,)) for i in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(sorted(results))


@ray.remote(max_concurrency=4, num_cpus=0)
class Meet:
    def __init__(self):
        self.barrier = threading.Barrier(3)

    def meet(self, i):
        self.barrier.wait(30)
        return i, threading.current_thread() is threading.main_thread()

    def context(self):
        context = ray.get_runtime_context()
        return context.get_actor_id() is not None, context.get_task_name()


m = Meet.remote()
print(sorted(ray.get([m.meet.remote(i) for i in range(3)])))
print(ray.get(m.context.remote()))
