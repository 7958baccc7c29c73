# SPDX-License-Identifier: Apache-2.0
"""ray.util.queue.Queue: full and empty ones, batches, times, and a queue that is gone."""
import asyncio
import queue as standard
import time

import ray
from _show import Report
from ray.util.queue import Empty, Full, Queue

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


def look(label, call):
    """Class and text of what is raised; its frames are those of each queue's own code."""
    try:
        report.print(label, "=>", repr(call()))
    except Exception as e:
        bases = [c.__name__ for c in type(e).__mro__ if c not in (object, BaseException) and c.__name__[0] != "_"]
        report.print(label, bases, [line for line in str(e).splitlines() if line and not line.startswith((" ", "\x1b"))][-1:])


options = {"num_cpus": 0}
queue = Queue(2, actor_options=options)
for label, call in (
    ("maxsize", lambda: (queue.maxsize, queue.qsize(), queue.size(), queue.empty(), queue.full())),
    ("get_nowait", lambda: queue.get_nowait()),
    ("get without waiting", lambda: queue.get(block=False)),
    ("get with a time", lambda: queue.get(timeout=0.05)),
    ("get with time 0", lambda: queue.get(timeout=0)),
    ("get with a negative time", lambda: queue.get(timeout=-1)),
    ("get without waiting, with a time", lambda: queue.get(block=False, timeout=5)),
    ("a batch of nothing", lambda: queue.get_nowait_batch(1)),
    ("a batch of 0", lambda: queue.get_nowait_batch(0)),
    ("a batch of -1", lambda: queue.get_nowait_batch(-1)),
    ("a batch of text", lambda: queue.get_nowait_batch("1")),
    ("put", lambda: (queue.put(1), queue.put("two", timeout=5), queue.full())),
    ("put_nowait", lambda: queue.put_nowait(3)),
    ("put without waiting", lambda: queue.put(3, block=False)),
    ("put with a time", lambda: queue.put(3, timeout=0.05)),
    ("put with time 0", lambda: queue.put(3, timeout=0)),
    ("put with a negative time", lambda: queue.put(3, timeout=-1)),
    ("put a batch", lambda: queue.put_nowait_batch([3])),
    ("put no batch", lambda: queue.put_nowait_batch(5)),
    ("put an empty batch", lambda: queue.put_nowait_batch([])),
    ("a batch of 3", lambda: queue.get_nowait_batch(3)),
    ("a batch of 2", lambda: queue.get_nowait_batch(2)),
    ("put a batch of 3", lambda: queue.put_nowait_batch([1, 2, 3])),
    ("put a batch of 2", lambda: (queue.put_nowait_batch([1, 2]), len(queue))),
    ("a reference", lambda: (queue.get(), queue.get(), queue.put(ray.put(5)), ray.get(queue.get()))),
    ("async get", lambda: asyncio.run(queue.get_async(timeout=0.05))),
    ("async get now", lambda: asyncio.run(queue.get_async(block=False))),
    ("async get, negative", lambda: asyncio.run(queue.get_async(timeout=-1))),
    ("async put", lambda: asyncio.run(queue.put_async(1, timeout=-1))),
    ("unknown", lambda: Queue(nonsense=1)),
    ("bad options", lambda: Queue(actor_options={"nonsense": 1})),
    ("without bound", lambda: (Queue(actor_options=options).full(), Queue(-5, actor_options=options).full())),
):
    look(label, call)
report.print(issubclass(Empty, standard.Empty), issubclass(Full, standard.Full), Queue.__name__)


@ray.remote(num_cpus=0)
def take(queue):
    try:
        return queue.get(timeout=0.05)
    except standard.Empty as e:
        return type(e).__module__, type(e).__name__


@ray.remote(num_cpus=0)
def give(queue, value):
    time.sleep(0.3)
    queue.put(value)


look("in a task", lambda: ray.get(take.remote(queue)))
given = give.remote(queue, "late")
look("waits", lambda: queue.get())
queue.put(1)
queue.shutdown()
look("after shutdown", lambda: queue.qsize())
look("actor", lambda: queue.actor)
queue.shutdown()
named = Queue(actor_options={"name": "mine", "num_cpus": 0})
look("named", lambda: type(ray.get_actor("mine")).__name__)
look("named again", lambda: Queue(actor_options={"name": "mine", "num_cpus": 0}))
assert named.empty()  # it runs
ray.kill(named.actor)
look("killed", lambda: named.get(timeout=5))
report.end()
