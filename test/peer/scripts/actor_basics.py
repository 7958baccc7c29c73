# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2)


@ray.remote
class Counter:
    """Counts."""

    STEP = 2

    def __init__(self, start=0, *, name="c"):
        self.n = start
        self.name = name

    def inc(self, by=1):
        self.n += by
        return self.n

    def get(self):
        return self.n, self.name

    @staticmethod
    def twice(x):
        return 2 * x

    @classmethod
    def step(cls):
        return cls.STEP

    @ray.method(num_returns=2)
    def pair(self):
        return 1, 2


c = Counter.remote(5, name="x")
print(ray.get([c.inc.remote() for _ in range(5)]), ray.get(c.inc.remote(by=10)))
print(ray.get(c.get.remote()), ray.get(c.twice.remote(4)), ray.get(c.step.remote()))
print(ray.get(list(c.pair.remote())), Counter.STEP)
print(sorted(dir(c)))
print(type(c).__name__, type(c.inc).__name__, isinstance(c, ray.actor.ActorHandle), hash(c) == hash(c))
print(repr(c).split(",")[0], c == c, c != Counter.remote())
for label, call in [
    ("direct", lambda: c.inc()),
    ("unknown", lambda: c.nope),
    ("unknown remote", lambda: c.nope.remote()),
    ("too many", lambda: c.inc.remote(1, 2)),
    ("unknown keyword", lambda: c.inc.remote(z=1)),
    ("init too many", lambda: Counter.remote(1, 2)),
    ("init keyword", lambda: Counter.remote(nope=1)),
    ("bad num_returns", lambda: c.inc.options(num_returns=-1)),
    ("per yield", lambda: c.inc.options(_num_objects_per_yield=1)),
]:
    show(label, call)
print(ray.get(c.inc.options(name="renamed").remote()))
print(ray.get(c.pair.options(num_returns=1).remote()))
print(ray.get(c.__ray_ready__.remote()), ray.get(c.__ray_call__.remote(lambda self, k: self.n * k, 2)))
