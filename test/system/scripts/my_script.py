# SPDX-License-Identifier: Apache-2.0
"""What a user submits: an actor that counts, a task that says where it runs."""
import os

import ray

ray.init()


@ray.remote
class Counter:
    def __init__(self):
        self.value = 0

    def increment(self):
        self.value += 1
        return self.value


@ray.remote
def where():
    return os.path.basename(os.getcwd()), os.environ.get("A")


counter = Counter.remote()
for number in ray.get([counter.increment.remote() for _ in range(10000)]):
    print("count", number)
print("where", *ray.get(where.remote()))
