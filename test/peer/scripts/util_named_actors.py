# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show
from ray.util import list_named_actors

ray.init(num_cpus=1, namespace="here", log_to_driver=False)


@ray.remote(num_cpus=0)
class A:
    def name(self):
        return ray.get_runtime_context().get_actor_name(), ray.get_runtime_context().namespace


a = A.options(name="one").remote()
b = A.options(name="two", namespace="there", lifetime="detached").remote()
c = A.remote()
print(ray.get([a.name.remote(), b.name.remote(), c.name.remote()]))
print(sorted(list_named_actors()))
print(sorted(list_named_actors(all_namespaces=True), key=str))


@ray.remote(num_cpus=0)
def inside():
    return sorted(list_named_actors()), ray.get(ray.get_actor("one").name.remote())


print(ray.get(inside.remote()))
print(ray.get(ray.get_actor("two", namespace="there").name.remote()))
show("other namespace", lambda: ray.get_actor("two"))
ray.kill(b)
while ("two" in str(list_named_actors(all_namespaces=True))):
    pass
print(list_named_actors(all_namespaces=True))
again = A.options(name="two", namespace="there").remote()
print(ray.get(again.name.remote()))
