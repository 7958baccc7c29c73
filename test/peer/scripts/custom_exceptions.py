# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import threading

ray.init(num_cpus=2, log_to_driver=False)


class Plain(Exception):
    pass


class WithArguments(Exception):
    def __init__(self, a, b):
        self.a, self.b = a, b
        super().__init__(f"{a}-{b}")


class Unpicklable(Exception):
    def __init__(self):
        self.lock = threading.Lock()


class Attribute(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Final(Exception):
    def __init_subclass__(cls):
        raise TypeError("no subclasses")


@ray.remote
def fails(kind, *args):
    raise kind(*args)


show("plain", lambda: ray.get(fails.remote(Plain, "x")))
show("arguments", lambda: ray.get(fails.remote(WithArguments, 1, 2)))
show("attribute", lambda: ray.get(fails.remote(Attribute, 7)))
show("os error", lambda: ray.get(fails.remote(FileNotFoundError, 2, "no")))
try:
    ray.get(fails.remote(Attribute, 7))
except Attribute as e:
    print(e.code, type(e).__name__)
try:
    ray.get(fails.remote(Unpicklable))
except ray.exceptions.RayTaskError as e:
    print(type(e).__name__, str(e.cause).splitlines()[0])


@ray.remote
def group():
    raise ExceptionGroup("g", [ValueError(1), KeyError(2)])


try:
    ray.get(group.remote())
except ExceptionGroup as e:
    print(type(e).__name__, e.exceptions)
