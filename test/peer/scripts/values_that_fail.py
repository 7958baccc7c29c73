# SPDX-License-Identifier: Apache-2.0
"""Arguments, results and state that cannot be pickled, or cannot be read again where they arrive."""
import sys
import threading

import ray
from _show import Report

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


class OnlyHere:
    """Can be written, but read by the driver alone."""

    def __init__(self, pid):
        self.pid = pid

    def __setstate__(self, state):
        import os

        if os.getpid() != state["pid"]:
            raise KeyError("not here")
        self.__dict__.update(state)


class OnlyThere:
    """Can be written by a worker, and read by nobody."""

    def __reduce__(self):
        return broken, ("text",)


def broken(text):
    raise KeyError("cannot be read: " + text)


class NotWritten:
    def __getstate__(self):
        raise RuntimeError("cannot be written")


@ray.remote(max_retries=0)
def takes(*values, **more):
    return len(values) + len(more)


@ray.remote(max_retries=0)
def gives(kind):
    return {"lock": threading.Lock, "not written": NotWritten, "only there": OnlyThere, "generator": lambda: (x for x in [1]),
            "module": lambda: sys, "deep": lambda: deep(100000), "frame": sys._getframe}[kind]()


@ray.remote(max_retries=0)
def recurses():
    return recurses._function()


@ray.remote(max_retries=0)
def gives_two():
    return threading.Lock(), 1


@ray.remote(max_retries=0)
def streams():
    yield 1
    yield threading.Lock()
    yield 3


@ray.remote
class Actor:
    def __init__(self, value=None):
        self.value = value

    def set(self, value):
        self.value = value
        return True

    def get(self):
        return self.value

    def lock(self):
        return threading.Lock()


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def look(label, call):
    """What is raised: class, cause, and the lines that are no frames."""
    try:
        value = call()
        report.print(label, "=>", value if isinstance(value, (int, bool, str)) else type(value).__name__)
    except BaseException as e:
        report.print(label, [c.__name__ for c in type(e).__mro__][:-2])
        cause = getattr(e, "cause", None)
        report.print("    cause", type(cause).__name__, str(cause).splitlines()[:1] if cause else "")
        text = [line for line in str(e).splitlines() if line.strip()]
        report.print("    first", *[line.split(", repr=")[0] for line in text[:1]])
        report.print("    last", *[line.strip("=") for line in text[-1:]])
        if not isinstance(e, ray.exceptions.RayError):
            report.print("    from", type(e.__cause__).__name__)


import os

here = OnlyHere(os.getpid())
actor = Actor.remote()
for label, call in (
    ("argument: a lock", lambda: takes.remote(threading.Lock())),
    ("argument: a lock by name", lambda: takes.remote(a=threading.Lock())),
    ("argument: a lock inside", lambda: takes.remote([1, {"a": threading.Lock()}])),
    ("argument: not written", lambda: takes.remote(NotWritten())),
    ("argument: a generator", lambda: takes.remote(x for x in [1])),
    ("argument: a module", lambda: ray.get(takes.remote(sys))),
    ("argument: deep", lambda: takes.remote(deep(100000))),
    ("argument: only here", lambda: ray.get(takes.remote(here))),
    ("argument: only here, put", lambda: ray.get(takes.remote(ray.put(here)))),
    ("argument: large, only here", lambda: ray.get(takes.remote([here, b"x" * 1000000]))),
    ("constructor: a lock", lambda: Actor.remote(threading.Lock())),
    ("constructor: only here", lambda: ray.get(Actor.remote(here).get.remote())),
    ("method: a lock", lambda: actor.set.remote(threading.Lock())),
    ("method: only here", lambda: ray.get(actor.set.remote(here))),
    ("method gives a lock", lambda: ray.get(actor.lock.remote())),
    ("the actor lives", lambda: ray.get(actor.set.remote(1))),
    ("gives a lock", lambda: ray.get(gives.remote("lock"))),
    ("gives: not written", lambda: ray.get(gives.remote("not written"))),
    ("gives: nobody can read", lambda: ray.get(gives.remote("only there"))),
    ("gives a generator", lambda: ray.get(gives.remote("generator"))),
    ("gives a module", lambda: ray.get(gives.remote("module"))),
    ("gives deep", lambda: ray.get(gives.remote("deep"))),
    ("gives a frame", lambda: ray.get(gives.remote("frame"))),
    ("gives two", lambda: ray.get(gives_two.options(num_returns=2).remote()[1])),
    ("recurses", lambda: ray.get(recurses.remote())),
    ("put deep", lambda: ray.put(deep(100000))),
    ("a closure", lambda: ray.remote(lambda lock=threading.Lock(): lock).remote()),
):
    look(label, call)
stream = streams.remote()
look("first of a stream", lambda: ray.get(next(stream)))
look("second of a stream", lambda: ray.get(next(stream)))
look("third of a stream", lambda: ray.get(next(stream)))
lock = threading.Lock()
look("captured", lambda: ray.remote(lambda: lock).remote())
look("captured by an actor", lambda: ray.remote(type("Holds", (), {"lock": lock})).remote())
report.end()
