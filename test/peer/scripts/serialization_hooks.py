# SPDX-License-Identifier: Apache-2.0
import copyreg
import io
import pickle

import ray
from _show import show
from ray.util import inspect_serializability

ray.init(num_cpus=2, log_to_driver=False)


class Point:
    def __init__(self, x):
        self.x = x


context = ray._private.worker.global_worker.get_serialization_context()
context._register_cloudpickle_serializer(Point, custom_serializer=lambda p: p.x, custom_deserializer=lambda x: Point(x * 10))
print(ray.get(ray.put(Point(2))).x)


class Other:
    pass


context._register_cloudpickle_reducer(Other, lambda o: (str, ("reduced",)))
print(ray.get(ray.put([Other()])))


@ray.remote
def f(v):
    return v


class Stateful:
    def __init__(self):
        self.kept, self.dropped = 1, open("/dev/null")

    def __getstate__(self):
        return {"kept": self.kept}

    def __setstate__(self, state):
        self.__dict__.update(state)


print(sorted(ray.get(f.remote(Stateful())).__dict__))


class Reduced:
    def __reduce__(self):
        return (list, ((1, 2),))


print(ray.get(f.remote(Reduced())))


class Nasty:
    def __reduce__(self):
        raise RuntimeError("will not go")


show("raises", lambda: ray.put(Nasty()))
show("in a list", lambda: f.remote([Nasty()]))
print(ray.cloudpickle.loads(ray.cloudpickle.dumps({"f": lambda: 5}))["f"]())
buffer = io.BytesIO()
ray.cloudpickle.dump(Point, buffer)
print(pickle.loads(buffer.getvalue())(3).x, callable(ray.cloudpickle.CloudPickler), ray.cloudpickle.CloudPickler.dispatch is not None)
good, found = inspect_serializability([1, 2], name="numbers")
print(good, found)
lock = __import__("threading").Lock()
out = io.StringIO()
good, found = inspect_serializability(lambda: lock, name="closure", print_file=out)
print(good, sorted(map(repr, found)), "closure" in out.getvalue())
good, found = inspect_serializability({"k": lock}, name="map", depth=1, print_file=io.StringIO())
print(good, sorted(map(repr, found)))
