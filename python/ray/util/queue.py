# SPDX-License-Identifier: Apache-2.0
"""A first-in first-out queue between tasks and actors, with the interface of queue.Queue."""
import asyncio
import queue

import ray


class Empty(queue.Empty):
    """There is nothing in the queue."""


class Full(queue.Full):
    """There is no room in the queue."""


def _check_timeout(timeout):
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")


class Queue:
    """The queue itself is an actor; copies of this object name the same one."""

    def __init__(self, maxsize=0, actor_options=None):
        self.maxsize = maxsize
        self.actor = ray.remote(_QueueActor).options(**(actor_options or {})).remote(maxsize)

    def __len__(self):
        return self.size()

    def size(self):
        return ray.get(self.actor.qsize.remote())

    qsize = size

    def empty(self):
        return ray.get(self.actor.empty.remote())

    def full(self):
        return ray.get(self.actor.full.remote())

    def put(self, item, block=True, timeout=None):
        """Adds an item; waits for room if `block`, at most `timeout` seconds. Full."""
        if block:
            _check_timeout(timeout)
            ray.get(self.actor.put.remote(item, timeout))
            return
        try:
            ray.get(self.actor.put_nowait.remote(item))
        except asyncio.QueueFull:
            raise Full

    async def put_async(self, item, block=True, timeout=None):
        if block:
            _check_timeout(timeout)
            await self.actor.put.remote(item, timeout)
            return
        try:
            await self.actor.put_nowait.remote(item)
        except asyncio.QueueFull:
            raise Full

    def get(self, block=True, timeout=None):
        """Takes the oldest item; waits for one if `block`, at most `timeout` seconds. Empty."""
        if block:
            _check_timeout(timeout)
            return ray.get(self.actor.get.remote(timeout))
        try:
            return ray.get(self.actor.get_nowait.remote())
        except asyncio.QueueEmpty:
            raise Empty

    async def get_async(self, block=True, timeout=None):
        if block:
            _check_timeout(timeout)
            return await self.actor.get.remote(timeout)
        try:
            return await self.actor.get_nowait.remote()
        except asyncio.QueueEmpty:
            raise Empty

    def put_nowait(self, item):
        self.put(item, block=False)

    def put_nowait_batch(self, items):
        """Adds all of the items, or none and raises Full."""
        try:
            iter(items)
        except TypeError:
            raise TypeError("Argument 'items' must be an Iterable") from None
        ray.get(self.actor.put_nowait_batch.remote(items))

    def get_nowait(self):
        return self.get(block=False)

    def get_nowait_batch(self, num_items):
        """Takes that many items, or none and raises Empty."""
        if not isinstance(num_items, int):
            raise TypeError("Argument 'num_items' must be an int")
        if num_items < 0:
            raise ValueError("'num_items' must be nonnegative")
        return ray.get(self.actor.get_nowait_batch.remote(num_items))

    def shutdown(self, force=False, grace_period_s=5):
        """Ends the actor: at once, or once it has done what it was asked before."""
        actor, self.actor = self.actor, None
        if actor is None:
            return
        if not force:
            ended, _ = ray.wait([actor.__ray_terminate__.remote()], timeout=grace_period_s)
            force = not ended
        if force:
            ray.kill(actor, no_restart=True)


class _QueueActor:
    def __init__(self, maxsize):
        self.maxsize = maxsize
        self.queue = asyncio.Queue(maxsize)

    def qsize(self):
        return self.queue.qsize()

    def empty(self):
        return self.queue.empty()

    def full(self):
        return self.queue.full()

    async def put(self, item, timeout=None):
        try:
            await asyncio.wait_for(self.queue.put(item), timeout)
        except asyncio.TimeoutError:
            raise Full

    async def get(self, timeout=None):
        try:
            return await asyncio.wait_for(self.queue.get(), timeout)
        except asyncio.TimeoutError:
            raise Empty

    def put_nowait(self, item):
        self.queue.put_nowait(item)

    def put_nowait_batch(self, items):
        items = list(items)
        if 0 < self.maxsize < len(items) + self.qsize():
            raise Full(
                f"Cannot add {len(items)} items to queue of size "
                f"{self.qsize()} and maxsize {self.maxsize}."
            )
        for item in items:
            self.queue.put_nowait(item)

    def get_nowait(self):
        return self.queue.get_nowait()

    def get_nowait_batch(self, num_items):
        if num_items > self.qsize():
            raise Empty(f"Cannot get {num_items} items from queue of size {self.qsize()}.")
        return [self.queue.get_nowait() for _ in range(num_items)]
