# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=4, log_to_driver=False, namespace="n")


@ray.remote(num_cpus=0)
class Counter:
    def __init__(self, start=0):
        self.n = start

    def add(self):
        self.n += 1
        return self.n


@ray.remote(num_cpus=0)
def use():
    counter = Counter.options(name="shared", get_if_exists=True, lifetime="detached").remote(10)
    return ray.get(counter.add.remote())


print(sorted(ray.get([use.remote() for _ in range(6)])))
again = Counter.options(name="shared", get_if_exists=True).remote(50)
print(ray.get(again.add.remote()))
show("taken", lambda: Counter.options(name="shared").remote())
show("no name", lambda: Counter.options(get_if_exists=True).remote())
show("empty", lambda: Counter.options(name="").remote())
show("no text", lambda: Counter.options(name=3).remote())
show("lifetime", lambda: Counter.options(lifetime="forever").remote())
del again
print(ray.get(ray.get_actor("shared").add.remote()))
ray.kill(ray.get_actor("shared"))
for _ in range(200):
    try:
        ray.get_actor("shared")
    except ValueError as e:
        print("gone")
        break
fresh = Counter.options(name="shared", get_if_exists=True).remote(100)
print(ray.get(fresh.add.remote()))
