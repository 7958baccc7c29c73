# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import pickle

ray.init(num_cpus=2, log_to_driver=False)


class Base:
    def base(self):
        return "base"

    def over(self):
        return "base over"


@ray.remote
class A(Base):
    kind = "class attribute"

    def __init__(self, x=1, *, y=2):
        self.x, self.y = x, y

    def over(self):
        return "over " + super().over()

    @ray.method(num_returns=2)
    def two(self):
        return 1, 2

    @staticmethod
    def static(v):
        return ["static", v]

    @classmethod
    def of_class(cls, v):
        return [cls.__name__, cls.kind, v]

    @property
    def prop(self):
        return "property"

    def args(self, a, b=2, *rest, c, **more):
        return [a, b, rest, c, sorted(more.items())]

    def me(self):
        return ray.get_runtime_context().current_actor

    def x_of(self):
        return self.x, self.y

    def __len__(self):
        return 5


a = A.remote(3, y=4)
print(ray.get([a.base.remote(), a.over.remote(), a.x_of.remote()]))
print(ray.get(a.two.remote()), ray.get(a.static.remote(1)), ray.get(a.of_class.remote(2)))
print(ray.get(a.args.remote(1, c=3)), ray.get(a.args.remote(1, 2, 3, 4, c=5, d=6)))
print(ray.get(a.two.options(num_returns=1).remote()), ray.get(a.__len__.remote()))
print(ray.get(a.__ray_ready__.remote()), ray.get(a.__ray_call__.remote(lambda self, v: self.x + v, 10)))
print(ray.get(a.me.remote()) == a, hash(ray.get(a.me.remote())) == hash(a))
show("direct", lambda: a.base())
show("absent", lambda: a.absent)
show("property", lambda: a.prop)
show("missing", lambda: a.args.remote())
show("too many", lambda: a.base.remote(1))
show("unknown", lambda: a.base.remote(z=1))
show("constructor", lambda: A.remote(1, 2, 3))
show("method option", lambda: a.base.options(num_cpus=1).remote())
show("set attribute", lambda: setattr(a, "x", 1))
print(sorted(n for n in dir(a) if not n.startswith("_")))
print(repr(a).startswith("Actor(A, "), repr(A)[:20], type(a.base).__name__)
show("instance", lambda: A(1))
show("getattr of class", lambda: A.kind)
show("pickled", lambda: pickle.loads(pickle.dumps(a)) == a)
show("ray.put", lambda: ray.get(ray.put(a)) == a)


@ray.remote
def passed(handle, more):
    return ray.get([handle.base.remote(), more[0].base.remote()])


print(ray.get(passed.remote(a, [a])))
