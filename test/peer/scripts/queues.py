# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

from ray.util.queue import Empty, Full, Queue

ray.init(num_cpus=2, log_to_driver=False)
q = Queue(maxsize=3)
q.put(1)
q.put_nowait(2)
print(q.qsize(), len(q), q.empty(), q.full(), q.get(), q.get_nowait())
show("empty", lambda: q.get_nowait())
show("timeout", lambda: q.get(timeout=0.1))
q.put_nowait_batch([1, 2, 3])
show("full", lambda: q.put(4, block=False))
show("full timeout", lambda: q.put(4, timeout=0.1))
show("negative", lambda: q.put(4, timeout=-1))
print(q.get_nowait_batch(2))
show("batch", lambda: q.get_nowait_batch(5))


@ray.remote
def producer(queue):
    queue.put("from a task")


ray.get(producer.remote(q))
print(q.get(), q.get())
q.shutdown()
