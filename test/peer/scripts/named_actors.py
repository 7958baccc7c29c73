# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class A:
    def __init__(self, x=0):
        self.x = x

    def get(self):
        return self.x


@ray.remote
def from_task():
    return ray.get(ray.get_actor("one").get.remote())


a = A.options(name="one").remote(1)
print(ray.get(a.get.remote()), ray.get(ray.get_actor("one").get.remote()), ray.get_actor("one") == a)
print(ray.get(from_task.remote()))
show("taken", lambda: A.options(name="one").remote())
show("absent", lambda: ray.get_actor("two"))
show("empty", lambda: ray.get_actor(""))
show("empty name", lambda: A.options(name="").remote())
show("empty namespace", lambda: ray.get_actor("one", namespace=""))
show("number namespace", lambda: ray.get_actor("one", namespace=3))
b = A.options(name="one", get_if_exists=True).remote(2)
print(ray.get(b.get.remote()), b == a)
c = A.options(name="one", namespace="other").remote(3)
print(ray.get(ray.get_actor("one", "other").get.remote()))
show("other namespace", lambda: ray.get_actor("one", "third"))
d = A.options(name="new", get_if_exists=True).remote(4)
print(ray.get(d.get.remote()))
print(sorted(ray.util.list_named_actors()))
