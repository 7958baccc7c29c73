# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


def plain(a, b=2, *rest, c=3, **more):
    return a, b, rest, c, more


class Plain:
    base = 5

    def __init__(self, x=1):
        self.x = x

    def get(self):
        return self.x, self.base

    @classmethod
    def of_class(cls):
        return cls.base

    @staticmethod
    def of_none(x):
        return -x

    @property
    def prop(self):
        return "property"


remote = ray.remote(plain)
print(ray.get(remote.remote(1)), ray.get(remote.remote(1, 4, 5, 6, c=7, d=8)))
print(ray.get(ray.remote(num_cpus=0.5)(plain).remote(0)))
Remote = ray.remote(Plain)
a = Remote.remote(x=9)
print(ray.get([a.get.remote(), a.of_class.remote(), a.of_none.remote(3)]))
b = ray.remote(num_cpus=0)(Plain).options(name="b").remote()
print(ray.get(b.get.remote()))
print(remote._function is plain)
show("called", lambda: remote(1))
show("class called", lambda: Remote())
show("number", lambda: ray.remote(3))
show("positional", lambda: ray.remote(3, 4))
show("missing", lambda: remote.remote())
show("twice", lambda: remote.remote(1, a=2))
show("init", lambda: Remote.remote(y=1))
show("lambda", lambda: ray.get(ray.remote(lambda: 5).remote()))


async def coroutine():
    return 1


show("async", lambda: ray.remote(coroutine))
show("builtin", lambda: ray.remote(len))
