# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def f(a, b=2, *, c=3):
    return a, b, c


@ray.remote
class A:
    def m(self):
        return 1


show("direct", lambda: f(1))
show("missing", lambda: f.remote())
show("too many", lambda: f.remote(1, 2, 3))
show("unknown", lambda: f.remote(1, d=4))
show("twice", lambda: f.remote(1, a=2))
show("fine", lambda: ray.get(f.remote(1, c=5)))
show("get of a number", lambda: ray.get(1))
show("get of a tuple", lambda: ray.get((f.remote(1),)))
show("get of numbers", lambda: ray.get([1, 2]))
show("get of None", lambda: ray.get(None))
show("get of an actor", lambda: ray.get(A.remote()) and None)
show("get nothing", lambda: ray.get([]))
show("get unknown", lambda: ray.get(f.remote(1), wait=1))
show("wait of a number", lambda: ray.wait(1))
show("wait of numbers", lambda: ray.wait([1]))
show("wait of a tuple", lambda: ray.wait((f.remote(1),)))
show("wait none", lambda: ray.wait([f.remote(1)], num_returns=0))
show("wait many", lambda: ray.wait([f.remote(1)], num_returns=2))
show("wait negative", lambda: ray.wait([f.remote(1)], timeout=-1))
show("wait nothing", lambda: ray.wait([]))
show("put of a reference", lambda: ray.put(f.remote(1)))
show("put owner", lambda: ray.put(1, _owner=A.remote()) and None)
show("put nothing", lambda: ray.put())
show("cancel of None", lambda: ray.cancel(None))
show("kill of None", lambda: ray.kill(None))
show("remote of a number", lambda: ray.remote(1))
show("remote of nothing", lambda: ray.remote())
show("remote of an instance", lambda: ray.remote(object()))


async def coroutine():
    return 1


show("remote of a coroutine", lambda: ray.remote(coroutine))
show("remote positional", lambda: ray.remote(2, 3))
show("remote of a lambda", lambda: ray.get(ray.remote(lambda: 5).remote()))
show("remote of a builtin", lambda: ray.remote(len))
import functools

show("remote of a partial", lambda: ray.remote(functools.partial(f, 1)))
show("actor as a function", lambda: A())
