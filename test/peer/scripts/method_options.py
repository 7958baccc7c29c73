# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class A:
    @ray.method(num_returns=2)
    def pair(self):
        return 1, 2

    def single(self):
        return 1, 2

    def name(self):
        return ray.get_runtime_context().get_task_name()


a = A.remote()
one, two = a.pair.remote()
print(ray.get([one, two]))
print(ray.get(a.pair.options(num_returns=1).remote()))
print([ray.get(r) for r in a.single.options(num_returns=2).remote()])
print(a.single.options(num_returns=0).remote())
print(ray.get(a.name.remote()), ray.get(a.name.options(name="mine").remote()))
show("three", lambda: ray.get(a.single.options(num_returns=3).remote()))
show("bad number", lambda: a.single.options(num_returns=-1).remote())
show("unknown option", lambda: a.single.options(num_cpus=1).remote())
show("unknown keyword", lambda: ray.method(number=1))
show("no keyword", lambda: ray.method(1))
show("called", lambda: a.single())
show("too many", lambda: a.single.remote(1))
show("unknown", lambda: a.nothing)
