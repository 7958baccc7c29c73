# SPDX-License-Identifier: Apache-2.0
import ray

ray.init(num_cpus=1, log_to_driver=False)


@ray.remote
def deep(n):
    return 0 if n == 0 else 1 + ray.get(deep.remote(n - 1))


@ray.remote
def fib(n):
    return n if n < 2 else sum(ray.get([fib.remote(n - 1), fib.remote(n - 2)]))


@ray.remote
class A:
    def run(self, n):
        return ray.get(deep.remote(n))


@ray.remote
def over_actor(n):
    return ray.get(A.remote().run.remote(n))


@ray.remote
def cpus():
    return ray.get_runtime_context().get_assigned_resources()


@ray.remote
def outer():
    return ray.get(cpus.remote())


print(ray.get(deep.remote(8)), ray.get(fib.remote(4)))
print(ray.get(A.options(num_cpus=0).remote().run.remote(3)), ray.get(over_actor.remote(2)))
print(ray.get(outer.remote()))
