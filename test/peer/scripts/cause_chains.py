# SPDX-License-Identifier: Apache-2.0
"""Causes, contexts, notes and groups of exceptions on their way through tasks and actors."""
import copy
import pickle
import traceback

import ray
from _show import Report

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def chained():
    try:
        {}["key"]
    except KeyError as e:
        raise ValueError("from a key") from e


@ray.remote
def while_handling():
    try:
        {}["key"]
    except KeyError:
        raise ValueError("during")


@ray.remote
def suppressed():
    try:
        {}["key"]
    except KeyError:
        raise ValueError("alone") from None


@ray.remote
def noted():
    error = ValueError("noted")
    error.add_note("a note")
    error.extra = {"some": "thing"}
    raise error


@ray.remote
def outer(function):
    try:
        return ray.get(function.remote())
    except ValueError as e:
        raise RuntimeError("outer") from e


@ray.remote
def passes(function):
    return ray.get(function.remote())


@ray.remote
def group():
    try:
        raise ExceptionGroup("many", [ValueError(1), ExceptionGroup("inner", [KeyError(2)])])
    except* TypeError:
        pass


@ray.remote
def returns_error():
    return ValueError("a value", 5)


@ray.remote
class Actor:
    def call(self, function):
        return ray.get(function.remote())

    async def call_async(self, function):
        return await function.remote()


def chain(error):
    """The classes and texts of an exception, of its cause and its context, and so on."""
    lines = []
    for label, get in (("cause", lambda e: e.__cause__), ("context", lambda e: e.__context__)):
        at, depth = error, 0
        while at is not None and depth < 6:
            lines.append(f"{label} {depth}: {type(at).__name__} {getattr(at, 'args', ())[:1] if not isinstance(at, ray.exceptions.RayTaskError) else ''}")
            at, depth = get(at), depth + 1
    return lines


def pickled(error):
    try:
        return type(pickle.loads(pickle.dumps(error))).__name__
    except Exception as e:
        return type(e).__name__


def look(label, ref):
    try:
        report.print(label, "=>", repr(ray.get(ref)))
    except Exception as e:
        report.print(label, [c.__name__ for c in type(e).__mro__][:-3], isinstance(e, ValueError))
        for line in chain(e):
            report.print("   ", line)
        cause = getattr(e, "cause", None)
        report.print("    .cause", repr(cause), getattr(cause, "__notes__", None), getattr(cause, "extra", None))
        report.print("    .args", e.args, getattr(e, "__notes__", None), getattr(e, "extra", None))
        report.show("    again", lambda: pickle.loads(ray.cloudpickle.dumps(e)).cause)
        report.print("    pickled", pickled(e))
        report.print("    copied", type(copy.copy(e)).__name__)
        if not isinstance(e, ExceptionGroup):  # Ray's is all of the group's trace
            report.print("    formatted", traceback.format_exception_only(e)[0].split("\n")[0].strip())
        report.show("    name", lambda: e.function_name)
        report.show("    trace", lambda: e.traceback_str.strip().splitlines()[-1])


actor, threaded = Actor.remote(), ray.remote(type("Threaded", (), {"call": lambda self: 1 / 0})).remote()
look("chained", chained.remote())
look("while handling", while_handling.remote())
look("suppressed", suppressed.remote())
look("noted", noted.remote())
look("outer", outer.remote(chained))
look("passes", passes.remote(chained))
look("passes twice", passes.remote(ray.remote(lambda: ray.get(chained.remote()))))
look("group", group.remote())
look("returned", returns_error.remote())
look("actor", actor.call.remote(chained))
look("async actor", actor.call_async.remote(chained))
look("dynamic class", threaded.call.remote())
report.show("str", lambda: str(ray.exceptions.RayTaskError("f", "Traceback\nX: y", ValueError(1))))
try:
    ray.get(passes.remote(chained))
except ray.exceptions.RayTaskError as e:
    plain = e.as_instanceof_cause()
    report.print(type(plain).__name__, type(e.make_dual_exception_instance()).__name__ if hasattr(e, "make_dual_exception_instance") else "")
try:
    try:
        ray.get(chained.remote())
    except ValueError as e:
        raise TypeError("mine") from e
except TypeError as e:
    report.print(type(e.__cause__).__name__, e.__cause__ is e.__context__)
report.end()
