# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


class NeedsTwo(Exception):
    def __init__(self, a, b):
        super().__init__(a)
        self.b = b


class Unpicklable(Exception):
    def __init__(self):
        import threading

        super().__init__("locked")
        self.lock = threading.Lock()


class Base(BaseException):
    pass


class Frozen(Exception):
    @property
    def args(self):
        return ("frozen",)


@ray.remote
def raises(kind, *args):
    raise kind(*args)


@ray.remote
def group():
    raise ExceptionGroup("several", [ValueError(1), KeyError("k")])


@ray.remote
def chained():
    try:
        {}["absent"]
    except KeyError as e:
        raise RuntimeError("outer") from e


@ray.remote
def outer(function, *args):
    return ray.get(function.remote(*args))


@ray.remote
class A:
    def raises(self, kind, *args):
        raise kind(*args)

    async def nothing(self):
        return 1


def outcome(label, function):
    try:
        report.print(label, function())
    except BaseException as e:
        kinds = [c.__name__ for c in type(e).__mro__ if c.__name__[0] != "_"]
        report.print(label, kinds[:5])
        report.print("   ", str(e).splitlines()[-1])
        report.print("   ", type(getattr(e, "cause", None)).__name__)


for label, args in (
    ("value", (ValueError, "v")),
    ("two", (NeedsTwo, 1, 2)),
    ("assertion", (AssertionError,)),
    ("stop", (StopIteration, 1)),
    ("timeout", (TimeoutError, "late")),
    ("os", (OSError, 2, "no file")),
    ("unicode", (UnicodeDecodeError, "utf-8", b"x", 0, 1, "why")),
    ("get timeout", (ray.exceptions.GetTimeoutError, "inner")),
):
    outcome(label, lambda: ray.get(raises.remote(*args)))
    outcome(label + " nested", lambda: ray.get(outer.remote(raises, *args)))
outcome("unpicklable", lambda: ray.get(raises.remote(Unpicklable)))
outcome("group", lambda: ray.get(group.remote()))
try:
    ray.get(group.remote())
except ExceptionGroup as e:
    report.print(type(e).__name__, [type(x).__name__ for x in e.exceptions])
outcome("chained", lambda: ray.get(chained.remote()))
a = A.remote()
outcome("actor", lambda: ray.get(a.raises.remote(ValueError, "v")))
ref = raises.remote(ValueError, "again")
for _ in range(2):
    outcome("again", lambda: ray.get(ref))
outcome("list", lambda: ray.get([ray.put(1), ref]))
report.end()
