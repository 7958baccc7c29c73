# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import threading

import ray.cloudpickle

ray.init(num_cpus=2)


class Locked:
    def __init__(self, x):
        self.x = x
        self.lock = threading.Lock()


show("without", lambda: ray.get(ray.put(Locked(1))) and 1)
ray.util.register_serializer(Locked, serializer=lambda a: a.x, deserializer=lambda b: Locked(b))
print(ray.get(ray.put([Locked(2)]))[0].x)
ray.util.deregister_serializer(Locked)
try:
    ray.put(Locked(3))
except TypeError as e:
    print("TypeError", str(e).splitlines()[0].split(" at 0x")[0])
print(ray.cloudpickle.loads(ray.cloudpickle.dumps(lambda x: x + 1))(1))


@ray.remote
def use(x):
    return x


lock = threading.Lock()
for label, call in [("argument", lambda: use.remote(lock)), ("put", lambda: ray.put(lock))]:
    try:
        call()
    except TypeError as e:
        print(label, str(e).splitlines()[0].split(" at 0x")[0], repr(e.__cause__))


@ray.remote
def captures():
    return lock


try:
    captures.remote()
except TypeError as e:
    print("closure", str(e).splitlines()[0])


@ray.remote
def returns():
    return threading.Lock()


try:
    ray.get(returns.remote())
except TypeError as e:
    print(type(e).__name__, e.cause)
