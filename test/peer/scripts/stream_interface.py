# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import asyncio
import pickle
import time

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class Gate:
    def __init__(self):
        self.open = 0

    def allow(self, n):
        self.open = n

    def get(self):
        return self.open


gate = Gate.remote()


@ray.remote(num_cpus=0)
def gated(gate, n):
    for i in range(n):
        while ray.get(gate.get.remote()) <= i:
            time.sleep(0.01)
        yield i


gen = gated.remote(gate, 3)
print(gen.next_ready(), gen.is_finished())
print(gen._next_sync(timeout_s=0).is_nil(), gen._next_sync(timeout_s=0.1).is_nil())
ray.get(gate.allow.remote(1))
ready, rest = ray.wait([gen], timeout=20)
print(len(ready), ready[0] is gen, rest, gen.next_ready())
first = next(gen)
print(ray.get(first), gen.next_ready(), gen.is_finished())
ready, rest = ray.wait([gen, gen.completed()], timeout=0.1)
print(len(ready), len(rest))
ray.get(gate.allow.remote(3))
print(ray.get(next(gen)))
print(ray.get(gen.completed()), gen.next_ready(), gen.is_finished())
print(ray.get(next(gen)), gen.next_ready(), gen.is_finished())
show("next", lambda: next(gen))
for name in ("send", "throw"):
    show(name, lambda: getattr(gen, name)(1))
show("close", gen.close)
for name in ("asend", "athrow"):
    show(name, lambda: asyncio.run(getattr(gen, name)(1)))
show("aclose", lambda: asyncio.run(gen.aclose()))
show("pickle", lambda: pickle.dumps(gen))


@ray.remote
def takes(x):
    return 1


for use in (takes.remote, ray.put):
    try:
        use(gen)
    except TypeError as e:
        print(str(e).splitlines()[0], str(e).splitlines()[4])
show("wait twice", lambda: ray.wait([gen, gen]))
show("wait alone", lambda: ray.wait(gen))


@ray.remote
def returns():
    return gated.remote(gate, 1)


try:
    ray.get(returns.remote())
except TypeError as e:
    print(str(e).splitlines()[-1])
