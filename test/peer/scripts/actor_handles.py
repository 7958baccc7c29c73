# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2)


@ray.remote
class Store:
    def __init__(self):
        self.items = []

    def add(self, x):
        self.items.append(x)
        return len(self.items)

    def get(self):
        return self.items

    def me(self):
        return ray.get_runtime_context().current_actor


@ray.remote
def writer(store, n):
    return [ray.get(store.add.remote(i)) for i in range(n)][-1]


@ray.remote
class Holder:
    def __init__(self, stores):
        self.store = stores[0]

    def use(self):
        return ray.get(self.store.get.remote())

    def give(self):
        return self.store


s = Store.remote()
print(ray.get(writer.remote(s, 3)))
h = Holder.remote([s])
print(ray.get(h.use.remote()))
again = ray.get(h.give.remote())
print(again == s, repr(again).split(",")[0], ray.get(again.add.remote(9)))
print(ray.get(s.me.remote()) == s)
method = s.add
print(ray.get(method.remote(1)), ray.get(ray.put([s]))[0] == s)
