# SPDX-License-Identifier: Apache-2.0
import time

import ray
from _show import show
from ray.util import ActorPool

ray.init(num_cpus=4, log_to_driver=False)


@ray.remote(num_cpus=0)
class Worker:
    def double(self, x):
        time.sleep(0.3 if x == 0 else 0)
        return 2 * x


actors = [Worker.remote() for _ in range(2)]
ray.get([a.double.remote(1) for a in actors])
pool = ActorPool(actors)
print(list(pool.map(lambda a, v: a.double.remote(v), range(5))))
print(sorted(pool.map_unordered(lambda a, v: a.double.remote(v), range(5))))
print(pool.has_free(), pool.has_next())
for value in range(3):
    pool.submit(lambda a, v: a.double.remote(v), value)
print(pool.has_free(), pool.has_next())
print(sorted(pool.get_next_unordered(timeout=10) for _ in range(3)))
show("in order after all", lambda: pool.get_next())
show("none left", lambda: pool.get_next())
show("none left, any order", lambda: pool.get_next_unordered())
pool = ActorPool([actors[0]])
pool.submit(lambda a, v: a.double.remote(v), 0)
show("timeout", lambda: pool.get_next(timeout=0.01))
print(pool.get_next(timeout=30))
idle = pool.pop_idle()
print(idle is actors[0], pool.pop_idle())
pool.push(actors[1])
show("already there", lambda: pool.push(actors[1]))
print(list(pool.map(lambda a, v: a.double.remote(v), [7])))
