# SPDX-License-Identifier: Apache-2.0
"""References in event loops and threads. The core has one eventfd a process for all of them: the
first loop that waits reads it itself; where there is none, or several, a thread does."""
import itertools
import threading

from ray import _mobula

_lock = threading.Lock()
_cookies = itertools.count(1)
_waiting = {}  # cookie -> (reference, what to call without arguments)


class _Reader:
    """Who reads the eventfd of the current session."""

    loop = None
    thread = None
    session = None


def _watch(ref, call):
    """Calls `call` once `ref` is ready, from whichever thread reads the eventfd."""
    cookie = next(_cookies)
    _waiting[cookie] = ref, call
    _mobula.watch(ref, cookie)
    return cookie


def _drain():
    while True:
        cookies = _mobula.watch_take()
        for cookie in cookies:
            entry = _waiting.pop(cookie, None)
            if entry:
                entry[1]()
        if len(cookies) < 256:
            return


def _read_in_thread():
    import select

    session = _mobula.session()
    poll = select.poll()
    poll.register(_mobula.watch_fd(), select.POLLIN)
    while _mobula.is_connected() and _mobula.session() == session:
        if poll.poll(200):
            _drain()


def _need_reader(loop):
    """Makes sure that somebody reads: `loop` (running, in this thread) if nobody does yet."""
    with _lock:
        session = _mobula.session()
        if _Reader.session != session:
            _Reader.loop = _Reader.thread = None
            _Reader.session = session
            _waiting.clear()
        if _Reader.thread is not None or (loop is not None and _Reader.loop is loop):
            return
        if _Reader.loop is not None and _Reader.loop.is_closed():
            _Reader.loop = None
        if _Reader.loop is None and loop is not None:
            loop.add_reader(_mobula.watch_fd(), _drain)
            _Reader.loop = loop
            return
        former, _Reader.loop = _Reader.loop, None
        if former is not None and former.is_running():
            former.call_soon_threadsafe(former.remove_reader, _mobula.watch_fd())
        _Reader.thread = threading.Thread(target=_read_in_thread, name="ray-watch", daemon=True)
        _Reader.thread.start()


def _value(ref):
    """(value, None) or (None, exception) of a reference that is ready."""
    try:
        return _mobula.get(ref), None
    except Exception as e:
        return None, e


def _connected():
    from ray._private.worker import auto_init, global_worker

    auto_init()
    global_worker.check_connected()


def future(ref):
    """A concurrent.futures.Future. Cancelling it does not cancel the task."""
    import concurrent.futures

    _connected()
    result = concurrent.futures.Future()

    def done():
        if not result.set_running_or_notify_cancel():
            return
        value, error = _value(ref)
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)

    _need_reader(None)
    _watch(ref, done)
    return result


def as_future(ref):
    """An asyncio.Future of the running loop."""
    import asyncio

    _connected()
    loop = asyncio.get_event_loop()
    result = loop.create_future()

    def settle():
        if result.done():
            return
        value, error = _value(ref)
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)

    _need_reader(loop if loop.is_running() else None)
    if _Reader.loop is loop:
        _watch(ref, settle)
    else:
        _watch(ref, lambda: loop.call_soon_threadsafe(settle))
    return result


def await_ref(ref):
    return as_future(ref).__await__()


def on_completed(ref, callback):
    """Calls callback(value or exception) once `ref` is ready."""

    def done():
        value, error = _value(ref)
        callback(value if error is None else error)

    _connected()
    _need_reader(None)
    _watch(ref, done)


def on_ready(ref, callback):
    """Calls callback(None) once `ref` is ready; returns what takes that back."""
    _connected()
    _need_reader(None)
    cookie = _watch(ref, lambda: callback(None))
    return lambda: _waiting.pop(cookie, None) and None


async def ready(ref):
    """Waits for a reference without getting its value."""
    import asyncio

    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    cancel = on_ready(
        ref,
        lambda error: loop.call_soon_threadsafe(
            lambda: None if waiter.done() else waiter.set_result(None)
        ),
    )
    try:
        await waiter
    finally:
        cancel()
    return ref
