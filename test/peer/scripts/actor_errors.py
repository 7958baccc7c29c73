# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2)


@ray.remote
class A:
    def __init__(self):
        self.n = 0

    def __repr__(self):
        return f"A<{self.n}>"

    def bad(self):
        self.n += 1
        raise KeyError("k")

    def get(self):
        return self.n


a = A.remote()
show("bad", lambda: ray.get(a.bad.remote()))
show("bad", lambda: ray.get(a.bad.remote()))
print(ray.get(a.get.remote()))


@ray.remote
class Quiet:
    def bad(self):
        return undefined  # noqa: F821


show("quiet", lambda: ray.get(Quiet.remote().bad.remote()))
