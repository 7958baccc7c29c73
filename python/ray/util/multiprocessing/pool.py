# SPDX-License-Identifier: Apache-2.0
"""A Pool whose processes are actors, on any node of the cluster."""
import collections
import itertools
import logging
import multiprocessing
import os
import threading
import time

import ray

logger = logging.getLogger(__name__)

RAY_ADDRESS_ENV = "RAY_ADDRESS"


class PoolTaskError(Exception):
    """A call of the pool raised; `underlying` is what."""

    def __init__(self, underlying):
        super().__init__(underlying)
        self.underlying = underlying


class PoolActor:
    """One process of the pool."""

    def __init__(self, initializer=None, initargs=None):
        if initializer:
            initializer(*(initargs or ()))

    def ping(self):
        """Answers once the process is there."""

    def run_batch(self, func, batch):
        results = []
        for args, kwargs in batch:
            try:
                results.append(func(*args, **kwargs))
            except Exception as e:
                results.append(PoolTaskError(e))
        return results


def _batches(calls, size):
    calls = iter(calls)
    while batch := list(itertools.islice(calls, size)):
        yield batch


class AsyncResult:
    """What the _async methods return: results that come in time."""

    def __init__(self, chunk_refs, callback=None, error_callback=None, single_result=False):
        self._refs = chunk_refs
        self._single = single_result
        self._lock = threading.Lock()
        self._results = None
        self._callback, self._error_callback = callback, error_callback
        self._teller = None  # who waits for the results finds the callback called
        if callback or error_callback:
            self._teller = threading.Thread(target=self._tell, daemon=True)
            self._teller.start()

    def _tell(self):
        error = self._first_error()
        if error is not None:
            if self._error_callback:
                self._error_callback(error)
        elif self._callback:
            self._callback(self._values())

    def _collect(self, timeout=None):
        """All results, errors among them."""
        if self._results is None:
            try:
                chunks = ray.get(self._refs, timeout=timeout)
            except ray.exceptions.GetTimeoutError:
                raise multiprocessing.TimeoutError from None
            except ray.exceptions.RayError as e:
                chunks = [[PoolTaskError(e)]]
            with self._lock:
                self._results = [result for chunk in chunks for result in chunk]
        return self._results

    def _first_error(self):
        for result in self._collect():
            if isinstance(result, PoolTaskError):
                return result.underlying
        return None

    def _values(self):
        results = self._collect()
        return results[0] if self._single else results

    def _told(self, timeout):
        if self._teller not in (None, threading.current_thread()):
            self._teller.join(timeout)

    def wait(self, timeout=None):
        """Until all results are there, or `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._results is None and self._refs:
            ray.wait(self._refs, num_returns=len(self._refs), timeout=timeout)
        self._told(None if deadline is None else max(deadline - time.monotonic(), 0))

    def get(self, timeout=None):
        """The results; raises what a call raised, or multiprocessing.TimeoutError."""
        self._collect(timeout)
        self._told(timeout)
        error = self._first_error()
        if error is not None:
            raise error
        return self._values()

    def ready(self):
        if self._results is not None or not self._refs:
            return True
        return len(ray.wait(self._refs, num_returns=len(self._refs), timeout=0)[0]) == len(
            self._refs
        )

    def successful(self):
        """Did no call raise? ValueError while some run."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._first_error() is None


class IMapIterator:
    """Results one by one, in order or as they come; calls are sent as results are taken."""

    def __init__(self, pool, func, iterable, chunksize, ordered):
        self._pool = pool
        self._func = func
        self._chunks = _batches(((item,) for item in iterable), chunksize or 1)
        self._ordered = ordered
        self._sent = []
        self._ready = collections.deque()
        for _ in range(pool._processes * 2):
            self._send()

    def _send(self):
        chunk = next(self._chunks, None)
        if chunk is not None:
            calls = [(args, {}) for args in chunk]
            self._sent.append(self._pool._run(self._func, calls))

    def __iter__(self):
        return self

    def __next__(self):
        return self.next()

    def next(self, timeout=None):
        """The next result; multiprocessing.TimeoutError after `timeout` seconds."""
        while not self._ready:
            if not self._sent:
                raise StopIteration
            candidates = self._sent[:1] if self._ordered else self._sent
            done, _ = ray.wait(candidates, num_returns=1, timeout=timeout)
            if not done:
                raise multiprocessing.TimeoutError
            self._sent.remove(done[0])
            self._send()
            try:
                self._ready.extend(ray.get(done[0]))
            except ray.exceptions.RayError as e:
                self._ready.append(PoolTaskError(e))
        result = self._ready.popleft()
        if isinstance(result, PoolTaskError):
            raise result.underlying
        return result


class OrderedIMapIterator(IMapIterator):
    pass


class UnorderedIMapIterator(IMapIterator):
    pass


class Pool:
    """`processes` actors (by default one a CPU of the cluster) that run calls.

    `maxtasksperchild` batches, and an actor is replaced. `ray_remote_args` are options of the actors.
    """

    def __init__(
        self,
        processes=None,
        initializer=None,
        initargs=None,
        maxtasksperchild=None,
        context=None,
        ray_address=None,
        ray_remote_args=None,
    ):
        self._closed = False
        self._initializer, self._initargs = initializer, initargs
        self._max_batches = maxtasksperchild or -1
        self._remote_args = dict(ray_remote_args or {})
        if context:
            logger.warning("The 'context' argument is not supported using Ray. Please refer to the "
                           "documentation for how to control ray initialization.")
        processes = self._connect(processes, ray_address)
        if processes <= 0:
            raise ValueError("Processes in the pool must be >0.")
        self._processes = processes
        self._deleting = []
        self._actors = [self._new_actor() for _ in range(processes)]
        self._next = itertools.cycle(range(processes))
        self._lock = threading.Lock()
        ray.get([actor.ping.remote() for actor, _ in self._actors])

    def _connect(self, processes, address):
        if not ray.is_initialized():
            address = address or os.environ.get(RAY_ADDRESS_ENV)
            if address is None and processes is not None:
                ray.init(num_cpus=processes)
            else:
                ray.init(address=address)
        cpus = int(ray.cluster_resources().get("CPU", 0))
        processes = cpus if processes is None else processes
        if processes > cpus:
            raise ValueError(
                f"Tried to start a pool with {processes} processes on an existing ray cluster, but "
                f"there are only {cpus} CPUs in the ray cluster."
            )
        return processes

    def _new_actor(self):
        options = {"num_cpus": 1, **self._remote_args}
        actor = ray.remote(PoolActor).options(**options).remote(self._initializer, self._initargs)
        return [actor, 0]

    def _run(self, func, calls):
        """Sends a batch to the next process; the reference of its results."""
        self._check_running()
        with self._lock:
            index = next(self._next)
            entry = self._actors[index]
            if entry[1] == self._max_batches:
                self._deleting.append(entry[0].__ray_terminate__.remote())
                entry = self._actors[index] = self._new_actor()
            entry[1] += 1
            ref = entry[0].run_batch.remote(func, calls)
            self._outstanding().append(ref)
            return ref

    def _outstanding(self):
        if not hasattr(self, "_sent"):
            self._sent = []
        if len(self._sent) > 1000:
            self._sent = ray.wait(self._sent, num_returns=len(self._sent), timeout=0)[1]
        return self._sent

    def _check_running(self):
        if self._closed:
            raise ValueError("Pool not running")

    def _map(self, func, calls, chunksize, callback, error_callback):
        calls = [(args, {}) for args in calls]
        if chunksize is None:
            chunksize, extra = divmod(len(calls), self._processes * 4)
            chunksize += bool(extra)
        refs = [self._run(func, batch) for batch in _batches(calls, max(chunksize, 1))]
        return AsyncResult(refs, callback, error_callback)

    def apply(self, func, args=None, kwargs=None):
        """func(*args, **kwargs) in the pool; waits for its result."""
        return self.apply_async(func, args, kwargs).get()

    def apply_async(self, func, args=None, kwargs=None, callback=None, error_callback=None):
        self._check_running()
        ref = self._run(func, [(tuple(args or ()), dict(kwargs or {}))])
        return AsyncResult([ref], callback, error_callback, single_result=True)

    def map(self, func, iterable, chunksize=None):
        """[func(item) for item in iterable], in the pool."""
        return self.map_async(func, iterable, chunksize).get()

    def map_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        self._check_running()
        calls = [(item,) for item in iterable]
        return self._map(func, calls, chunksize, callback, error_callback)

    def starmap(self, func, iterable, chunksize=None):
        """[func(*item) for item in iterable], in the pool."""
        return self.starmap_async(func, iterable, chunksize=chunksize).get()

    def starmap_async(self, func, iterable, callback=None, error_callback=None, chunksize=None):
        self._check_running()
        calls = [tuple(item) for item in iterable]
        return self._map(func, calls, chunksize, callback, error_callback)

    def imap(self, func, iterable, chunksize=1):
        """An iterator over the results, in order."""
        self._check_running()
        return OrderedIMapIterator(self, func, iterable, chunksize, ordered=True)

    def imap_unordered(self, func, iterable, chunksize=1):
        """An iterator over the results, as they come."""
        self._check_running()
        return UnorderedIMapIterator(self, func, iterable, chunksize, ordered=False)

    def __enter__(self):
        self._check_running()
        return self

    def __exit__(self, *exc):
        self.terminate()

    def close(self):
        """No more calls; those that were sent are finished."""
        if not self._closed:
            self._deleting += [actor.__ray_terminate__.remote() for actor, _ in self._actors]
        self._closed = True

    def terminate(self):
        """Ends the processes at once."""
        if not self._closed:
            self.close()
        for actor, _ in self._actors:
            ray.kill(actor)

    def join(self):
        """After close() or terminate(): until the processes have ended."""
        if not self._closed:
            raise ValueError("Pool is still running")
        for ref in self._deleting:
            try:
                ray.get(ref)
            except ray.exceptions.RayActorError:
                pass
