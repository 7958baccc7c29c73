# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False, namespace="here")


@ray.remote(num_cpus=0)
class A:
    def __init__(self, v=0):
        self.v = v

    def get(self):
        return self.v


a = A.options(name="a").remote(1)
print(ray.get(ray.get_actor("a").get.remote()))
show("taken", lambda: A.options(name="a").remote())
b = A.options(name="a", get_if_exists=True).remote(2)
print(ray.get(b.get.remote()), a == b)
other = A.options(name="a", namespace="there").remote(3)
print(ray.get(ray.get_actor("a", namespace="there").get.remote()))
show("wrong namespace", lambda: ray.get_actor("a", namespace="nowhere"))
show("empty name", lambda: ray.get_actor(""))
show("empty namespace", lambda: ray.get_actor("a", namespace=""))
show("namespace type", lambda: ray.get_actor("a", namespace=1))
show("empty actor name", lambda: A.options(name="").remote())
show("empty actor namespace", lambda: A.options(name="x", namespace="").remote())
show("get_if_exists without name", lambda: A.options(get_if_exists=True))
show("lifetime", lambda: A.options(lifetime="x"))
print(sorted(ray.util.list_named_actors()))
print(sorted(ray.util.list_named_actors(all_namespaces=True), key=str))
for _ in range(3):
    c = A.options(name="counter", get_if_exists=True, lifetime="detached").remote(7)
print(ray.get(c.get.remote()), ray.get_runtime_context().namespace)


@ray.remote
def finds(name):
    return ray.get(ray.get_actor(name).get.remote()), ray.get_runtime_context().namespace


print(ray.get(finds.remote("a")))


@ray.remote
def makes():
    A.options(name="made", lifetime="detached").remote(9)
    return ray.get(ray.get_actor("made").get.remote())


print(ray.get(makes.remote()), ray.get(ray.get_actor("made").get.remote()))
ray.kill(ray.get_actor("made"))
ray.kill(a)
import time

deadline = time.time() + 20
while time.time() < deadline:
    try:
        a = A.options(name="a").remote(5)
        break
    except ValueError:
        time.sleep(0.05)
print(ray.get(a.get.remote()))
