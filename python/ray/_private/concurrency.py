# SPDX-License-Identifier: Apache-2.0
"""Actors that run several calls at once: on an event loop, or in threads."""
import selectors
import threading
from collections.abc import Awaitable
from types import AsyncGeneratorType, CoroutineType

from ray import _mobula
from ray._private import execution

_DEFAULT = None  # the group of methods that name none


def runner(is_async, limit, groups):
    limits = {_DEFAULT: limit, **(groups or {})}
    return _Loops(limits) if is_async else _Threads(limits)


def _group_of(token, method):
    """The concurrency group of a call: the call's own, else the method's."""
    options = token.options
    if options:
        import json

        own = json.loads(options).get("concurrency_group")
        if own:
            return own
    return getattr(method, "__ray_concurrency_group__", _DEFAULT)


def _refuse(token, group):
    _fail(token, ValueError(f"The actor has no concurrency group {group!r}."))


def _fail(token, error, in_stream=False):
    """Ends the call with its error. What user code raised to end the process ends it."""
    try:
        _mobula.task_fail(token, error, in_stream)
    except SystemExit as e:
        _leave(e)


def _leave(error):
    import os

    execution.leave()
    os._exit(error.code if isinstance(error.code, int) else 1 if error.code else 0)


class _Pool:
    """The threads of a group, made as calls come, and the calls that wait for one."""

    def __init__(self, name, limit, run):
        from queue import SimpleQueue

        self._name, self._limit, self._run = name, limit, run
        self._threads = 0
        self.busy = 0  # calls given and not ended; a guess is enough
        self._calls = SimpleQueue()

    def put(self, call):
        self._calls.put(call)
        self.busy += 1
        if self._threads < self._limit and self._threads < self.busy:
            name = f"ray-{self._name or 'actor'}_{self._threads}"
            self._threads += 1
            threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self):
        while True:
            self._run(*self._calls.get())
            self.busy -= 1


class _Threads:
    """A pool of threads a group."""

    def __init__(self, limits):
        self._pools = {name: _Pool(name, limit, self._run) for name, limit in limits.items()}
        self._waiting = {}  # tokens of calls that have not begun

    @staticmethod
    def construct(instance, args, kwargs):
        instance.__init__(*args, **kwargs)

    def begin(self):
        """The main thread takes the calls."""

    def dispatch(self, calls):
        for call in calls:
            token, method = call[0], call[1]
            group = _group_of(token, method)
            pool = self._pools.get(group)
            if pool is None:
                _refuse(token, group)
                continue
            self._waiting[token] = None
            pool.put(call)

    def cancel(self, task):
        """Takes a call back that has not begun; one that runs may ask is_canceled()."""
        from ray.exceptions import TaskCancelledError

        for token in list(self._waiting):
            if token.task_id == task and self._waiting.pop(token, self) is not self:
                _fail(token, TaskCancelledError(task))

    def _run(self, token, method):
        if self._waiting.pop(token, self) is self:
            return  # it was cancelled
        execution.current.set(token)
        try:
            given = token.arguments()
            if given is None:
                return  # one is an error
            args, kwargs = given
            result = method(*args, **kwargs) if kwargs else method(*args)
        except BaseException as e:
            _fail(token, e)
        else:
            _mobula.task_finish(token, result)


class _Loops:
    """An event loop a group, so that what blocks in one group stops no other."""

    def __init__(self, limits):
        self._loops = {name: _Loop(name, limit) for name, limit in limits.items()}

    def construct(self, instance, args, kwargs):
        self._loops[_DEFAULT].construct(instance, args, kwargs)

    def begin(self):
        """The only loop takes the calls itself; for several, the main thread does."""
        if len(self._loops) == 1:
            self._loops[_DEFAULT].serve(_mobula.serve_calls(), self._start)

    def _start(self, calls):
        loop = self._loops[_DEFAULT]
        for call in calls:
            group = _group_of(call[0], call[1])
            if group in self._loops:
                loop.begin(call)
            else:
                _refuse(call[0], group)

    def dispatch(self, calls):
        for call in calls:
            name = _group_of(call[0], call[1])
            loop = self._loops.get(name)
            if loop is None:
                _refuse(call[0], name)
            else:
                loop.put(call)

    def cancel(self, task):
        for loop in self._loops.values():
            loop.cancel(task)


class _Selector(selectors.DefaultSelector):
    """Sleeps on a loop's descriptors and, once it serves, on the actor's calls, which it takes."""

    _start = None  # what gets a list of calls

    def serve(self, fd, start):
        self.register(fd, selectors.EVENT_READ)  # without data: see select()
        self._start = start

    def select(self, timeout=None):
        if self._start is None:
            return super().select(timeout)
        if (timeout is None or timeout > 0) and _mobula.calls_sleep():
            events = super().select(timeout)
            others = [event for event in events if event[0].data is not None]
            _mobula.calls_woken(len(others) < len(events))
        else:
            events = super().select(0)
            others = events and [event for event in events if event[0].data is not None]
        try:
            calls = _mobula.calls_take()
        except SystemExit as e:
            _leave(e)
        except BaseException:  # without a loop nobody would be told
            import traceback

            traceback.print_exc()
            _leave(SystemExit(1))
        if calls:
            self._start(calls)
        return others


class _Loop:
    """An event loop in a thread of its own: at most `limit` calls run on it, others wait."""

    def __init__(self, name, limit):
        import asyncio
        from collections import deque

        self._selector = _Selector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._free, self._waiting = limit, deque()
        self._inbox, self._woken = deque(), False
        self._tasks = {}  # token -> asyncio.Task, which the loop itself does not keep alive
        title = f"ray-asyncio-{name}" if name else "ray-asyncio"
        threading.Thread(target=self._loop.run_forever, name=title, daemon=True).start()

    def construct(self, instance, args, kwargs):
        """Runs __init__ where the methods will run: what it makes may belong to the loop."""
        import asyncio

        made = self._construct(instance, args, kwargs)
        error = asyncio.run_coroutine_threadsafe(made, self._loop).result()
        if error is not None:
            raise error

    @staticmethod
    async def _construct(instance, args, kwargs):
        """The error, if there is one: SystemExit would end the loop, and nobody be told."""
        try:
            result = instance.__init__(*args, **kwargs)
            if isinstance(result, Awaitable):
                await result
        except BaseException as e:
            return e

    def put(self, call):
        self._inbox.append(call)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._take)

    def serve(self, fd, start):
        self._loop.call_soon_threadsafe(self._selector.serve, fd, start)

    def cancel(self, task):
        self._loop.call_soon_threadsafe(self._cancel, task)

    # What follows runs on the loop.

    def _take(self):
        self._woken = False  # first: what comes from here on wakes the loop again
        while self._inbox:
            self.begin(self._inbox.popleft())

    def begin(self, call):
        if self._free:
            self._start(call)
        else:
            self._waiting.append(call)

    def _start(self, call):
        self._free -= 1
        self._tasks[call[0]] = self._loop.create_task(self._run(*call))

    def _ended(self, token):
        del self._tasks[token]
        self._free += 1
        if self._waiting:
            self._start(self._waiting.popleft())

    def _cancel(self, task):
        import asyncio

        for token, running in self._tasks.items():
            if token.task_id == task:
                # After its first step: a task that is cancelled before it never enters its coroutine.
                # Its code may catch that: the call was cancelled all the same.
                self._loop.call_soon(running.cancel)
                return
        for call in self._waiting:
            if call[0].task_id == task:
                self._waiting.remove(call)
                _fail(call[0], asyncio.CancelledError())
                return

    async def _run(self, token, method):
        execution.current.set(token)
        in_stream = False
        try:
            if _mobula.task_cancelled(token):
                raise _cancelled()
            given = token.arguments()
            if given is None:
                return  # one is an error
            args, kwargs = given
            result = method(*args, **kwargs) if kwargs else method(*args)
            if isinstance(result, CoroutineType):
                result = await result
            elif isinstance(result, AsyncGeneratorType):
                in_stream = True
                result = await self._stream(token, result)
            elif isinstance(result, Awaitable):
                result = await result
            if _mobula.task_cancelled(token):
                raise _cancelled()
        except BaseException as e:
            _fail(token, e, in_stream and not isinstance(e, _cancelled()))
        else:
            _mobula.task_finish(token, result)
        finally:
            self._ended(token)

    async def _stream(self, token, generator):
        """Sends what an async generator yields; where the reader is slow, waits in a thread."""
        async for value in execution.flattened_async(generator, token.options):
            if not _mobula.task_yield(token, value):
                await self._loop.run_in_executor(None, _mobula.task_room, token)


def _cancelled():
    import asyncio

    return asyncio.CancelledError
