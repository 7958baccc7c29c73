# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

from ray.util import ActorPool

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class A:
    def double(self, x):
        return 2 * x


pool = ActorPool([A.remote(), A.remote()])
print(list(pool.map(lambda a, v: a.double.remote(v), range(6))))
print(sorted(pool.map_unordered(lambda a, v: a.double.remote(v), range(6))))
pool.submit(lambda a, v: a.double.remote(v), 1)
pool.submit(lambda a, v: a.double.remote(v), 2)
print(pool.has_next(), pool.has_free(), pool.get_next(), pool.get_next(), pool.has_next())
show("nothing", lambda: pool.get_next())
a = pool.pop_idle()
pool.push(a)
show("twice", lambda: pool.push(a))
