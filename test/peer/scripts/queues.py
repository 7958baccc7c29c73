# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

from ray.util.queue import Empty, Full, Queue

ray.init(num_cpus=2, log_to_driver=False)


def kind(label, call):
    """The class only: the frames are of ray's own queue."""
    try:
        call()
    except Exception as e:
        print(label, type(e).__name__, type(e).__mro__[2].__name__)


q = Queue(maxsize=3)
q.put(1)
q.put_nowait(2)
print(q.qsize(), len(q), q.empty(), q.full(), q.get(), q.get_nowait())
show("empty", lambda: q.get_nowait())
kind("timeout", lambda: q.get(timeout=0.1))
q.put_nowait_batch([1, 2, 3])
show("full", lambda: q.put(4, block=False))
kind("full timeout", lambda: q.put(4, timeout=0.1))
show("negative", lambda: q.put(4, timeout=-1))
print(q.get_nowait_batch(2))
kind("batch", lambda: q.get_nowait_batch(5))


@ray.remote
def producer(queue):
    queue.put("from a task")


ray.get(producer.remote(q))
print(q.get(), q.get())
q.shutdown()
