# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import collections
import dataclasses
import gc

ray.init(num_cpus=2, log_to_driver=False)

Pair = collections.namedtuple("Pair", "a b")


@dataclasses.dataclass
class Data:
    ref: object
    more: list


class Reduced:
    def __init__(self, ref):
        self.ref = ref

    def __reduce__(self):
        return Reduced, (self.ref,)


class Odd(Exception):
    pass


@ray.remote
def echo(x):
    return x


@ray.remote
def raises(box):
    raise Odd("carries", box[0])


def fresh(i):
    return ray.put("v%d" % i)


boxes = [
    ([fresh(0)], lambda v: v[0]),
    ((fresh(1), 1), lambda v: v[0]),
    ({"k": fresh(2)}, lambda v: v["k"]),
    ({fresh(3)}, lambda v: next(iter(v))),
    ({fresh(4): 1}, lambda v: next(iter(v))),
    (Pair(fresh(5), 0), lambda v: v.a),
    (Data(fresh(6), []), lambda v: v.ref),
    (Reduced(fresh(8)), lambda v: v.ref),
    (collections.deque([fresh(9)]), lambda v: v[0]),
    (collections.OrderedDict(x=[{"y": (fresh(10),)}]), lambda v: v["x"][0]["y"][0]),
    ([[[[fresh(11)]]]], lambda v: v[0][0][0][0]),
    (frozenset([fresh(12)]), lambda v: next(iter(v))),
]
while boxes:
    value, pick = boxes.pop(0)
    name = type(value).__name__
    back = echo.remote(value)
    stored = ray.put(value)
    del value
    gc.collect()
    print(name, ray.get(pick(ray.get(back))), ray.get(pick(ray.get(stored))))
r = fresh(13)
try:
    ray.get(raises.remote([r]))
except Odd as e:
    print(type(e).__name__, e.cause.args[0], ray.get(e.cause.args[1]))
