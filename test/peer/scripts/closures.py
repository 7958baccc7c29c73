# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import json as renamed

ray.init(num_cpus=2, log_to_driver=False)
GLOBAL = [1]


class Base:
    def who(self):
        return type(self).__name__


class Derived(Base):
    def who(self):
        return "derived " + super().who()


@ray.remote
def uses_globals():
    GLOBAL.append(2)
    return GLOBAL, renamed.dumps({"a": 1}), Derived().who()


@ray.remote
def recursive(n):
    return 1 if n == 0 else n * ray.get(recursive.remote(n - 1))


def factory(n):
    @ray.remote
    def inner(x):
        return x + n

    return inner


ref = ray.put("captured")


@ray.remote
def captured():
    return ray.get(ref)


print(ray.get(uses_globals.remote()), GLOBAL)
print(ray.get(recursive.remote(5)))
print(ray.get([factory(i).remote(1) for i in range(3)]), ray.get(captured.remote()))
print(ray.get(ray.remote(lambda x: x * 2).remote(4)))


@ray.remote
class Parent:
    def make(self):
        @ray.remote
        class Child:
            def m(self):
                return "child"

        self.child = Child.remote()
        return ray.get(self.child.m.remote())


print(ray.get(Parent.remote().make.remote()))
