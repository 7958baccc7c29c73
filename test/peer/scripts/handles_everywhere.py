# SPDX-License-Identifier: Apache-2.0
import ray

import ray.cloudpickle

ray.init(num_cpus=4, log_to_driver=False)


@ray.remote(num_cpus=0)
class Counter:
    def __init__(self):
        self.n = 0

    def inc(self, by=1):
        self.n += by
        return self.n


@ray.remote(num_cpus=0)
class Holder:
    def __init__(self, *handles, **named):
        self.handles, self.named = handles, named

    def use(self):
        return [ray.get(h.inc.remote()) for h in [*self.handles, *self.named.values()]]

    def give(self):
        return {"handles": list(self.handles)}

    def call(self, method):
        return ray.get(method.remote(10))


c = Counter.remote()


@ray.remote
def captured():
    return ray.get(c.inc.remote())


@ray.remote
def nested(handle, depth):
    if depth == 0:
        return ray.get(handle.inc.remote())
    return ray.get(nested.remote(handle, depth - 1))


class Custom:
    def __init__(self, handle):
        self.handle = handle


@ray.remote
def custom(x):
    return ray.get(x.handle.inc.remote())


print(ray.get(captured.remote()), ray.get(nested.remote(c, 3)), ray.get(custom.remote(Custom(c))))
h = Holder.remote(c, named=c)
print(ray.get(h.use.remote()))
back = ray.get(h.give.remote())["handles"][0]
print(back == c, ray.get(back.inc.remote()))
print(ray.get(h.call.remote(c.inc)))


@ray.remote
def makes():
    made = Counter.remote()
    ray.get(made.inc.remote(5))
    return made


made = ray.get(makes.remote())
try:
    print(ray.get(made.inc.remote()))
except ray.exceptions.ActorDiedError as e:
    print(type(e).__name__)
print({c: 1}[back], len({c, back, made}))
ref = ray.put({"a": [c]})
print(ray.get(ray.get(ref)["a"][0].inc.remote()))
method = c.inc
print(ray.get([method.remote() for _ in range(3)]))


@ray.remote
class Starts:
    def __init__(self):
        self.child = Counter.remote()

    def child_of(self):
        return self.child

    def use(self):
        return ray.get(self.child.inc.remote())


s = Starts.remote()
child = ray.get(s.child_of.remote())
print(ray.get(s.use.remote()), ray.get(child.inc.remote()))
