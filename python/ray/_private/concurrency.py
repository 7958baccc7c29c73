# SPDX-License-Identifier: Apache-2.0
"""Actors that run several calls at once: on an event loop, or in threads."""
import threading

from ray import _mobula
from ray._private import execution

_DEFAULT = None  # the group of methods that name none


def runner(instance, is_async, limit, groups):
    limits = {_DEFAULT: limit, **(groups or {})}
    return _Loop(limits) if is_async else _Threads(limits)


def _group_of(method, info):
    """The concurrency group of a call: the call's own, else the method's."""
    import json

    options = json.loads(info["options"]) if info["options"] else {}
    return options.get("concurrency_group") or getattr(
        method, "__ray_concurrency_group__", _DEFAULT
    )


def _end(token, function):
    """Runs `function` and ends the call with what comes out."""
    try:
        result = function()
    except BaseException as e:
        _fail(token, e)
    else:
        _mobula.task_finish(token, result)


def _fail(token, error, in_stream=False):
    """Ends the call with its error. What user code raised to end the process ends it."""
    import os

    try:
        _mobula.task_fail(token, error, in_stream)
    except SystemExit as e:
        execution.leave()
        os._exit(e.code if isinstance(e.code, int) else 1 if e.code else 0)


class _Threads:
    """A pool of threads a group."""

    def __init__(self, limits):
        from concurrent.futures import ThreadPoolExecutor

        self._pools = {
            name: ThreadPoolExecutor(limit, thread_name_prefix=f"ray-{name or 'actor'}")
            for name, limit in limits.items()
        }
        self._waiting = {}  # task id -> (future, token): not begun yet, or running

    def dispatch(self, token, method, args, kwargs, info):
        pool = self._pools.get(_group_of(method, info))
        if pool is None:
            raise ValueError(f"The actor has no concurrency group {_group_of(method, info)!r}.")
        info["token"] = token
        task = info["task_id"]
        future = pool.submit(self._run, token, method, args, kwargs or {}, info)
        self._waiting[task] = future, token
        future.add_done_callback(lambda done: self._waiting.pop(task, None))

    def cancel(self, task):
        """Takes a call back that has not begun; one that runs may ask is_canceled()."""
        from ray.exceptions import TaskCancelledError

        future, token = self._waiting.get(task, (None, None))
        if future is not None and future.cancel():
            _fail(token, TaskCancelledError(task))

    @staticmethod
    def _run(token, method, args, kwargs, info):
        execution.current.set(info)
        _end(token, lambda: method(*args, **kwargs))


class _Loop:
    """One event loop in a thread of its own; all methods run there, at most `limit` a group."""

    def __init__(self, limits):
        import asyncio

        self._limits = limits
        self._loop = asyncio.new_event_loop()
        self._semaphores = {name: asyncio.Semaphore(limit) for name, limit in limits.items()}
        self._running = {}  # task id -> asyncio.Task, which the loop itself does not keep alive
        threading.Thread(target=self._loop.run_forever, name="ray-asyncio", daemon=True).start()

    def dispatch(self, token, method, args, kwargs, info):
        group = _group_of(method, info)
        if group not in self._semaphores:
            raise ValueError(f"The actor has no concurrency group {group!r}.")
        info["asyncio"], info["token"] = True, token
        self._loop.call_soon_threadsafe(self._start, token, method, args, kwargs or {}, info, group)

    def cancel(self, task):
        self._loop.call_soon_threadsafe(self._cancel, task)

    def _cancel(self, task):
        running = self._running.get(task)
        if running is not None:
            running.cancel()  # its code may catch that: the call was cancelled all the same

    def _start(self, token, method, args, kwargs, info, group):
        task = self._loop.create_task(self._run(token, method, args, kwargs, info, group))
        self._running[info["task_id"]] = task
        # A task that is cancelled before it runs at all never enters its coroutine.
        task.add_done_callback(lambda done: self._done(done, token, info["task_id"]))

    def _done(self, done, token, task):
        import asyncio

        del self._running[task]
        if done.cancelled():
            _fail(token, asyncio.CancelledError())

    async def _run(self, token, method, args, kwargs, info, group):
        import asyncio
        import inspect

        execution.current.set(info)
        in_stream = False
        async with self._semaphores[group]:
            try:
                result = method(*args, **kwargs)
                if inspect.isasyncgen(result):
                    in_stream = True
                    flat = execution.flattened_async(result, info["options"])
                    result = await self._stream(token, flat)
                elif inspect.isawaitable(result):
                    result = await result
            except asyncio.CancelledError:
                raise
            except BaseException as e:
                _fail(token, e, in_stream)
            else:
                if _mobula.task_cancelled(token):
                    raise asyncio.CancelledError()
                _mobula.task_finish(token, result)

    async def _stream(self, token, generator):
        """Sends what an async generator yields; where the reader is slow, waits in a thread."""
        async for value in generator:
            if not _mobula.task_yield(token, value):
                await self._loop.run_in_executor(None, _mobula.task_room, token)
