# SPDX-License-Identifier: Apache-2.0
"""What a streaming call gives its caller: an iterator of references, as the values come."""
from ray import _mobula
from ray._mobula import ObjectRef


class ObjectRefGenerator:
    """The references that a generator task or method yields, each as soon as it is there.

    Made by `.remote()`. Iterate it with `for` or `async for`; it is not thread-safe.
    """

    def __init__(self, generator_ref, worker):
        self._generator_ref = generator_ref
        self._generator_task_raised = False  # the error of the whole call was given already
        self.worker = worker

    def __iter__(self):
        return self

    def __next__(self):
        """The next reference; waits until its value is there."""
        return self._next_sync()

    def send(self, value):
        raise NotImplementedError("`gen.send` is not supported.")

    def throw(self, value):
        raise NotImplementedError("`gen.throw` is not supported.")

    def close(self):
        raise NotImplementedError("`gen.close` is not supported.")

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await self._next_async()

    async def asend(self, value):
        raise NotImplementedError("`gen.asend` is not supported.")

    async def athrow(self, value):
        raise NotImplementedError("`gen.athrow` is not supported.")

    async def aclose(self):
        raise NotImplementedError("`gen.aclose` is not supported.")

    def completed(self):
        """The reference that is ready once the task has ended; an error if it did not end by itself."""
        return self._generator_ref

    def next_ready(self):
        """Would next() return a reference without waiting?"""
        self.worker.check_connected()
        if self.is_finished():
            return False
        return _mobula.is_ready(_mobula.stream_peek(self._generator_ref, 0))

    def is_finished(self):
        """Has the task ended, and has all that it yielded been taken?"""
        self.worker.check_connected()
        if not _mobula.stream_finished(self._generator_ref):
            return False
        return self._generator_task_raised or not self._failed()

    def _failed(self):
        """Did the whole call fail? Its error is then one more reference to give."""
        try:
            _mobula.get(self._generator_ref)
        except Exception:
            return True
        return False

    # ---- what libraries use ----

    def _ray_waitable(self):
        """What ray.wait() waits for."""
        return _mobula.stream_peek(self._generator_ref, 0)

    def _get_next_object_id_binary(self):
        self.worker.check_connected()
        return self._ray_waitable().binary()

    def _stream_exhausted(self):
        self.worker.check_connected()
        return _mobula.stream_finished(self._generator_ref)

    def _get_next_ref_n(self, num_refs):
        """The next references without taking them, ready or not."""
        if num_refs <= 0:
            raise ValueError("num_refs must be positive")
        self.worker.check_connected()
        return [_mobula.stream_peek(self._generator_ref, i) for i in range(num_refs)]

    def _consume_next_ref_n(self, num_refs):
        """Takes them; they must be ready."""
        if num_refs <= 0:
            raise ValueError("num_refs must be positive")
        self.worker.check_connected()
        for ref in self._get_next_ref_n(num_refs):
            if not _mobula.is_ready(ref):
                raise ValueError(f"{ref} is not ready: wait for it before it is taken.")
        for _ in range(num_refs):
            if _mobula.stream_next(self._generator_ref, 0) is False:
                return

    def _next_sync(self, timeout_s=None):
        """next() that gives a nil reference after `timeout_s`; None and -1 are no limit."""
        ref = _mobula.stream_next(self._generator_ref, timeout_s)
        if ref:
            return ref
        if ref is None:
            return ObjectRef.nil()
        self._end(StopIteration)
        return self._generator_ref

    async def _next_async(self, timeout_s=None):
        import asyncio

        ref = _mobula.stream_next(self._generator_ref, 0)
        if ref is None:
            try:
                await asyncio.wait_for(self._ray_waitable()._ready(), timeout_s)
            except asyncio.TimeoutError:
                return ObjectRef.nil()
            ref = _mobula.stream_next(self._generator_ref, 0)
        if ref:
            return ref
        self._end(StopAsyncIteration)
        return self._generator_ref

    def _end(self, stop):
        """At the end: raises `stop`, unless the error of the whole call is still to be given."""
        if self._generator_task_raised or not self._failed():
            raise stop
        self._generator_task_raised = True

    def __del__(self):
        try:
            _mobula.stream_close(self._generator_ref)
        except AttributeError:  # the interpreter is ending
            pass

    def __getstate__(self):
        raise TypeError(
            "You cannot return or pass a generator to other task. "
            "Serializing a ObjectRefGenerator is not allowed."
        )


ObjectRefGenerator.__module__ = "ray"


class DynamicObjectRefGenerator:
    """The references of a call with num_returns="dynamic": its value. Iterating uses it up."""

    def __init__(self, refs):
        import collections

        self._refs = collections.deque(refs)

    def __iter__(self):
        while self._refs:
            yield self._refs.popleft()

    def __len__(self):
        return len(self._refs)


class StreamingGeneratorStats:
    """What `yield` gives in the body of a streaming task."""

    __slots__ = ("object_creation_dur_s",)

    def __init__(self, object_creation_dur_s):
        self.object_creation_dur_s = object_creation_dur_s


def make(generator_ref):
    from ray._private.worker import global_worker

    return ObjectRefGenerator(generator_ref, global_worker)
