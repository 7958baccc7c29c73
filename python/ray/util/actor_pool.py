# SPDX-License-Identifier: Apache-2.0
"""A pool of actors that share a queue of work."""
import ray


class ActorPool:
    """Hands work to whichever of its actors is idle."""

    def __init__(self, actors):
        self._idle = list(actors)
        self._busy = {}  # key of a call -> (its number, its actor)
        self._calls = {}  # number -> what the user's function returned
        self._submitted = 0
        self._next = 0  # number of the call whose result get_next() gives
        self._waiting = []  # (function, value) without an actor

    @staticmethod
    def _key(call):
        return tuple(call) if isinstance(call, list) else call

    def map(self, fn, values):
        """The results of fn(actor, value), in the order of the values."""
        return self._map(fn, values, self.get_next)

    def map_unordered(self, fn, values):
        """The same, as they come."""
        return self._map(fn, values, self.get_next_unordered)

    def _map(self, fn, values, take):
        while self.has_next():  # what was left over from before is dropped
            try:
                take(timeout=0, ignore_if_timedout=True)
            except TimeoutError:
                pass
        for value in values:
            self.submit(fn, value)

        def results():
            while self.has_next():
                yield take()

        return results()

    def submit(self, fn, value):
        """Runs fn(actor, value) on an idle actor, or as soon as there is one."""
        if not self._idle:
            self._waiting.append((fn, value))
            return
        actor = self._idle.pop()
        call = fn(actor, value)
        self._busy[self._key(call)] = self._submitted, actor
        self._calls[self._submitted] = call
        self._submitted += 1

    def has_next(self):
        """Is there a result to take, now or later?"""
        return bool(self._busy)

    def get_next(self, timeout=None, ignore_if_timedout=False):
        """The next result in the order of submission."""
        self._need_next()
        if self._next >= self._submitted:
            raise ValueError(
                "It is not allowed to call get_next() after get_next_unordered()."
            )
        call = self._calls[self._next]
        late = timeout is not None and not ray.wait([call], timeout=timeout)[0]
        if late and not ignore_if_timedout:
            raise TimeoutError("Timed out waiting for result")
        return self._take(call, self._next, late)

    def get_next_unordered(self, timeout=None, ignore_if_timedout=False):
        """The next result that is there."""
        self._need_next()
        ready, _ = ray.wait(list(self._busy), num_returns=1, timeout=timeout)
        if not ready and not ignore_if_timedout:
            raise TimeoutError("Timed out waiting for result")
        call = ready[0] if ready else next(iter(self._busy))
        return self._take(call, self._busy[call][0], not ready)

    def _need_next(self):
        if not self.has_next():
            raise StopIteration("No more results to get")

    def _take(self, call, number, late):
        _, actor = self._busy.pop(self._key(call))
        del self._calls[number]
        self._next = max(self._next, number + 1)
        if late:
            self._give_back(actor)
            raise TimeoutError(
                f"Timed out waiting for result. The task {call} has been ignored."
            )
        try:
            return ray.get(call)
        except ray.exceptions.ActorDiedError:
            actor = None
            raise
        finally:
            self._give_back(actor)

    def _give_back(self, actor):
        if actor is not None:
            self._idle.append(actor)
        if self._waiting and self._idle:
            self.submit(*self._waiting.pop(0))

    def has_free(self):
        """Is there an idle actor and nothing that waits for one?"""
        return bool(self._idle) and not self._waiting

    def pop_idle(self):
        """Takes an idle actor out of the pool; None if there is none."""
        return self._idle.pop() if self.has_free() else None

    def push(self, actor):
        """Puts an actor into the pool."""
        if actor in self._idle or any(actor == other for _, other in self._busy.values()):
            raise ValueError("Actor already belongs to current ActorPool")
        self._give_back(actor)
