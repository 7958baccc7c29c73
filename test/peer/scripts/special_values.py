# SPDX-License-Identifier: Apache-2.0
"""Values that keep more than their fields: identity, order, types, sharing."""
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import math
import operator
import pathlib
import re
import types
import uuid
import weakref

import numpy
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


class Colour(enum.Enum):
    RED = 1


class Bits(enum.IntFlag):
    A = 1
    B = 2


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass(frozen=True, order=True)
class Frozen:
    a: int
    b: list = dataclasses.field(default_factory=list)


class Single:
    one = None

    def __new__(cls):
        cls.one = cls.one or super().__new__(cls)
        return cls.one


class Dict(dict):
    pass


class Strange(str):
    extra = 5


class Proxy:
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return "any " + name


@ray.remote
def same(value):
    return value


@ray.remote
def describe(value):
    return type(value).__name__, repr(value)


def both(value):
    return describe._function(value) == ray.get(describe.remote(value)), describe._function(ray.get(same.remote(value)))


for value in (
    Colour.RED, Bits.A | Bits.B, Point(1, 2), Frozen(1), Strange("text"), Dict(a=1),
    collections.OrderedDict(b=1, a=2), collections.defaultdict(list, a=[1]), collections.Counter("aab"), collections.deque([1, 2], maxlen=2),
    collections.ChainMap({"a": 1}), types.SimpleNamespace(a=1), {},
    datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc), datetime.timedelta(1), datetime.date(2020, 1, 1),
    decimal.Decimal("1.10"), fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.PurePosixPath("/a/b"), re.compile("a+", re.I),
    2**200, -0.0, float("inf"), complex(1, -0.0), b"", range(5, 1, -2), slice(1, None, 2), ..., NotImplemented, None,
    frozenset([1]), (), ((),), "\ud800", "\0", int, list[int], int | None, type(None), Colour, ValueError, ValueError("a", 1),
    print, math.sin, operator.itemgetter(1), functools.partial(int, base=2),
    numpy.float32(1.5), numpy.datetime64("2020-01-01"), numpy.bool_(True), numpy.dtype("<i2"), numpy.array(5), numpy.array([]),
    numpy.array([1, "a"], dtype=object), numpy.arange(6).reshape(2, 3).T, numpy.arange(10)[::2], numpy.zeros(2, dtype=[("a", "i4"), ("b", "U3")]),
    numpy.ma.array([1, 2], mask=[0, 1]), numpy.array(["ab", "c"]), numpy.array([b"a"]), numpy.float64("nan"),
    numpy.asfortranarray(numpy.eye(2)), numpy.matrix([[1]]),
):
    show(f"{type(value).__name__} {value!r}"[:60] if "0x" not in repr(value) else type(value).__name__, lambda: both(value))
show("identity of a member", lambda: ray.get(same.remote(Colour.RED)) is Colour.RED)
show("identity of a class", lambda: ray.get(same.remote(Point)) is Point)
show("identity of a singleton", lambda: ray.get(same.remote(Single())) is Single())
show("equal points", lambda: ray.get(same.remote(Point(1, 2))) == Point(1, 2))
show("an instance", lambda: isinstance(ray.get(same.remote(Frozen(1))), Frozen))
shared = [1]
show("copied", lambda: ray.get(same.remote(shared)) is shared)
cycle = [1]
cycle.append(cycle)
show("a cycle", lambda: (lambda got: got[1] is got)(ray.get(same.remote(cycle))))
show("attributes", lambda: ray.get(same.remote(Proxy())).thing)
show("a method", lambda: ray.get(same.remote(Frozen(3).__eq__))(Frozen(3)))
show("a lambda", lambda: ray.get(same.remote(lambda x: x + shared[0]))(1))
show("a weak reference", lambda: type(ray.get(same.remote([weakref.WeakValueDictionary()]))).__name__ and None)
big = numpy.arange(200000)
show("writeable", lambda: [ray.get(same.remote(a)).flags.writeable for a in (big, big[:5], numpy.zeros((500, 500), order="F"))])
show("owns", lambda: [ray.get(ray.put(a)).flags.owndata for a in (big, big[:5])])
show("one object twice", lambda: ray.get([r := ray.put([1]), r])[0] is ray.get(r))
show("views", lambda: (lambda pair: numpy.shares_memory(*pair))(ray.get(ray.put((big, big)))))
show("strings", lambda: ray.get(same.remote(["\u00e9" * 3, "\U0001f600", "a\0b"])))
show("many types", lambda: ray.get(describe.remote({1: "a", "1": 2, (1, 2): None, None: 1.0, True: 5})))
