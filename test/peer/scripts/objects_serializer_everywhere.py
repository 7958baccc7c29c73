# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import threading

ray.init(num_cpus=2, log_to_driver=False)


class Handle:
    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()


def out(h):
    return "packed " + h.name


def back(data):
    return Handle(data + " unpacked")


@ray.remote
def in_task(h):
    return h.name


@ray.remote
def makes():
    ray.util.register_serializer(Handle, serializer=out, deserializer=back)
    return Handle("task's")


@ray.remote
class Actor:
    def take(self, h):
        self.h = h
        return h.name


ray.util.register_serializer(Handle, serializer=out, deserializer=back)
print(ray.get(in_task.remote(Handle("a"))))
print(ray.get(in_task.remote(ray.put(Handle("b")))))
a = Actor.remote()
print(ray.get(a.take.remote(Handle("c"))))
print(ray.get(makes.remote()).name)
print([h.name for h in ray.get(ray.put([Handle("d"), Handle("e")]))])
ray.util.register_serializer(Handle, serializer=lambda h: 1, deserializer=lambda d: Handle("second"))
print(ray.get(ray.put(Handle("f"))).name)
ray.util.deregister_serializer(Handle)
ray.util.deregister_serializer(Handle)


class Child(Handle):
    pass


ray.util.register_serializer(Handle, serializer=out, deserializer=back)
try:
    print(type(ray.get(ray.put(Child("child")))).__name__)
except TypeError as e:
    print("TypeError", str(e).splitlines()[0].split("<")[0])
try:
    ray.util.register_serializer(Handle)
except TypeError as e:
    print(e)
