# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=4, resources={"x": 4}, log_to_driver=False)


@ray.remote(num_cpus=2, resources={"x": 1}, name="declared")
def f():
    context = ray.get_runtime_context()
    return context.get_task_name(), sorted(context.get_assigned_resources().items())


print(ray.get(f.remote()))
print(ray.get(f.options(num_cpus=1).remote()))
print(ray.get(f.options(name="given", resources={"x": 2}).remote()))
print(ray.get(f.options(num_cpus=0, resources={}).remote()))
print(ray.get(f.options().remote()))
g = f.options(num_cpus=1)
print(ray.get(g.remote()), ray.get(g.remote()))


@ray.remote(num_cpus=1, num_returns=2, max_retries=1)
def two(a, b=5):
    return a, b


print(ray.get(two.remote(1)), ray.get(two.options(num_returns=1).remote(2)))
print(ray.get(two._remote(args=(1,), kwargs={"b": 2})), ray.get(two._remote((3,), num_returns=1)))


@ray.remote(num_cpus=2, resources={"x": 1})
class A:
    def __init__(self, v=0):
        self.v = v

    def m(self):
        context = ray.get_runtime_context()
        return context.get_task_name(), sorted(context.get_assigned_resources().items()), self.v

    @ray.method(num_returns=2)
    def two(self):
        return 1, 2


print(ray.get(A.remote(1).m.remote()))
print(ray.get(A.options(num_cpus=1).remote(2).m.remote()))
print(ray.get(A.options(resources={}).remote(3).m.remote()))
print(ray.get(A._remote(args=(4,), num_cpus=0, resources={}).m.remote()))
a = A.options(num_cpus=0, resources={}).remote()
print(ray.get(a.m.options(name="other").remote()), ray.get(a.two._remote()))


@ray.remote
class Plain:
    def m(self):
        return sorted(ray.get_runtime_context().get_assigned_resources().items())


print(ray.get(Plain.remote().m.remote()))
print(ray.get(Plain.options(num_cpus=1).remote().m.remote()))
print(ray.get(Plain.options(memory=50 * 1024 * 1024).remote().m.remote()))
print(f.options(num_cpus=1).remote.__class__.__name__ != "", callable(f.options))
show("bad in options", lambda: f.options(foo=1))
