# SPDX-License-Identifier: Apache-2.0
import asyncio

import ray
from ray.util.queue import Empty, Full, Queue

ray.init(num_cpus=2, log_to_driver=False)
queue = Queue(maxsize=2, actor_options={"num_cpus": 0})


@ray.remote(num_cpus=0)
class Consumer:
    async def take(self, queue, count):
        return [await queue.get_async() for _ in range(count)]


@ray.remote(num_cpus=0)
class Producer:
    async def give(self, queue, count):
        for i in range(count):
            await queue.put_async(i)
        return count


consumer, producer = Consumer.remote(), Producer.remote()
taken = consumer.take.remote(queue, 6)
print(ray.get(producer.give.remote(queue, 6)), ray.get(taken))


async def here():
    await queue.put_async("a")
    await queue.put_async("b")
    try:
        await queue.put_async("c", timeout=0.05)
    except Full as e:
        print("full", type(e).__name__)
    print(await queue.get_async(), await queue.get_async(block=False))
    try:
        await queue.get_async(timeout=0.05)
    except Empty as e:
        print("empty", type(e).__name__)


asyncio.run(here())
import queue as standard

print(issubclass(Empty, standard.Empty), issubclass(Full, standard.Full))
queue.put(1)
queue.shutdown(force=True)
try:
    queue.qsize()
except ray.exceptions.RayActorError as e:
    print(type(e).__name__)
except Exception as e:
    print("other", type(e).__name__, e)
