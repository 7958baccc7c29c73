# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import wraps

ray.init(num_cpus=2, log_to_driver=False)


def logged(function):
    @wraps(function)
    def wrapper(*args, **kwargs):
        return "logged", function(*args, **kwargs)

    return wrapper


class Base(ABC):
    def __init__(self, x):
        self.x = x

    @abstractmethod
    def value(self):
        ...

    def twice(self):
        return 2 * self.value()


@ray.remote
class Impl(Base):
    def value(self):
        return self.x

    @logged
    def with_wrapper(self, a, b=1):
        return a + b

    @property
    def prop(self):
        return 1


@ray.remote
@dataclass
class Data:
    a: int
    b: str = "b"

    def both(self):
        return self.a, self.b


i = Impl.remote(4)
print(ray.get(i.twice.remote()), ray.get(i.with_wrapper.remote(1)))
show("wrapped arguments", lambda: i.with_wrapper.remote())
show("property", lambda: i.prop)
print(ray.get(Data.remote(1).both.remote()), ray.get(Data.remote(a=2, b="c").both.remote()))


@ray.remote
@logged
def f(x):
    return x


print(ray.get(f.remote(3)))
show("wrapped task", lambda: f.remote())


class Plain:
    def m(self):
        return "plain"


print(ray.get(ray.remote(Plain).remote().m.remote()), Plain().m())
