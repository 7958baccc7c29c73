# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2)


@ray.remote
def bad():
    raise ValueError("boom")


@ray.remote
def use(x, y=None):
    return x


show("one", lambda: ray.get(use.remote(bad.remote())))
show("two", lambda: ray.get(use.remote(use.remote(bad.remote()))))
show("keyword", lambda: ray.get(use.remote(1, y=bad.remote())))
print(len(ray.get(use.remote([bad.remote()]))))
