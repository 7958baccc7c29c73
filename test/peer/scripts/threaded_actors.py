# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import threading
import time

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(max_concurrency=3)
class T:
    def __init__(self):
        self.barrier = threading.Barrier(3)

    def meet(self):
        self.barrier.wait(20)
        return threading.current_thread() is threading.main_thread()

    def task_id(self):
        return len(ray.get_runtime_context().get_task_id())


@ray.remote(concurrency_groups={"io": 2})
class G:
    def __init__(self):
        self.barrier = threading.Barrier(2)

    @ray.method(concurrency_group="io")
    def meet(self):
        self.barrier.wait(20)
        return 1

    def plain(self):
        return 2


t = T.remote()
print(ray.get([t.meet.remote() for _ in range(3)]), ray.get(t.task_id.remote()))
g = G.remote()
print(ray.get([g.meet.remote(), g.meet.remote()]), ray.get(g.plain.remote()))
show("ordered", lambda: T.options(allow_out_of_order_execution=False).remote())
