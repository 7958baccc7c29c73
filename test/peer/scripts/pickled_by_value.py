# SPDX-License-Identifier: Apache-2.0
import dataclasses
import enum
import functools
from collections import namedtuple

import ray

ray.init(num_cpus=2, log_to_driver=False)


@dataclasses.dataclass
class Point:
    x: int
    y: int = 2

    def sum(self):
        return self.x + self.y


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


Pair = namedtuple("Pair", "a b")
count = 0


@ray.remote
def echo(x):
    return x


@ray.remote
def kinds(point, colour, pair):
    return point.sum(), colour is Colour.RED, pair.a, isinstance(pair, Pair), type(point).__name__


print(ray.get(kinds.remote(Point(1), Colour.RED, Pair(3, 4))))
back = ray.get(echo.remote(Point(5)))
print(back == Point(5), isinstance(back, Point), ray.get(echo.remote(Colour.BLUE)) is Colour.BLUE)
print(ray.get(echo.remote(lambda x: x + 1))(2), ray.get(echo.remote(functools.partial(pow, 2)))(5))


def counter():
    global count
    count += 1
    return count


@ray.remote
def call(f):
    return f(), f()


print(ray.get(call.remote(counter)), count)


class Node:
    def __init__(self):
        self.me = self
        self.items = {1, 2}


node = ray.get(echo.remote(Node()))
print(node.me is node, node.items)
shared = [1]
pair = ray.get(echo.remote((shared, shared)))
print(pair[0] is pair[1])
print(ray.get(echo.remote(2**100)), ray.get(echo.remote(float("inf"))), ray.get(echo.remote("\ud800x"[1:])))
print(ray.get(echo.remote({"a": {1: (None, True, b"x")}})), ray.get(echo.remote(range(3))), ray.get(echo.remote(...)))


class Reduced:
    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return Reduced, (self.value + 1,)


print(ray.get(echo.remote(Reduced(1))).value > 1)
