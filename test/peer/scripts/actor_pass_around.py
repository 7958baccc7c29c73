# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=4, log_to_driver=False)


@ray.remote(num_cpus=0)
class Store:
    def __init__(self):
        self.items = {}

    def set(self, key, value):
        self.items[key] = value

    def get(self, key):
        return self.items[key]

    def me(self):
        return ray.get_runtime_context().current_actor

    def length(self):
        return len(self.items)


@ray.remote(num_cpus=0)
class Client:
    def __init__(self, store):
        self.store = store

    def write(self, key, value):
        return ray.get(self.store.set.remote(key, value))

    def late(self, key):
        return self.store.get.remote(key)


@ray.remote(num_cpus=0)
def fill(store, n):
    ray.get([store.set.remote(i, i * i) for i in range(n)])
    return store


store = Store.remote()
again = ray.get(fill.remote(store, 3))
print(ray.get(again.get.remote(2)), again == store, hash(again) == hash(store))
client = Client.remote(store)
print(ray.get(client.write.remote("a", 1)), ray.get(ray.get(client.late.remote("a"))))
me = ray.get(store.me.remote())
print(ray.get(me.length.remote()), me == store)
show("missing", lambda: type(ray.get(store.get.remote("zzz"))))
refs = ray.put({"handle": store, "refs": [store.length.remote()]})
inside = ray.get(refs)
print(ray.get(inside["handle"].length.remote()), ray.get(inside["refs"]))
