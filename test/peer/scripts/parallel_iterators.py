# SPDX-License-Identifier: Apache-2.0
import warnings

warnings.simplefilter("ignore")
import ray
from _show import show
from ray.util import iter as parallel

ray.init(num_cpus=4, log_to_driver=False)
it = parallel.from_range(7, num_shards=2)
print(it, it.num_shards(), [list(shard) for shard in it.shards()], list(it.gather_sync()))
print(list(it.batch_across_shards()))
doubled = it.for_each(lambda x: x * 2).filter(lambda x: x % 3 == 0)
print(doubled, sorted(doubled.gather_async()), doubled.take(2))
print(list(it.batch(2).gather_sync()), list(it.batch(2).flatten().gather_sync()))
print(sorted(it.combine(lambda x: [x, x]).gather_async(batch_ms=10, num_async=2)))
print(it.transform(lambda items: (x + 100 for x in items)).take(3))
both = it.union(it)
print(both.num_shards())
show("select after union", lambda: both.select_shards([0]))
print(list(it.select_shards([1]).gather_sync()))
show("select none", lambda: it.select_shards([]))
show("shard out of range", lambda: it.get_shard(7))
show("queue depth", lambda: it.gather_async(num_async=0))
show("batch time", lambda: it.gather_async(batch_ms=-1))
show("iterate", lambda: list(it))
show("union of another kind", lambda: it.union(3))
shuffled = it.local_shuffle(2, seed=3)
print(shuffled, sorted(shuffled.gather_sync()))
local = it.gather_sync()
print(local, local.for_each(lambda x: x + 1).filter(lambda x: x > 5).batch(2))
print(list(it.gather_sync().for_each(lambda x: x + 1).batch(4)))
a, b = it.gather_sync().duplicate(2)
print(a.take(1), b.take(1))
print(list(it.get_shard(0).union(it.get_shard(1), deterministic=True)))
show("duplicate once", lambda: it.gather_sync().duplicate(1))
it.for_each(lambda x: x * x).show(2)
pairs = list(it.gather_async().zip_with_source_actor())
print(sorted(x for _, x in pairs), len({actor for actor, _ in pairs}))
parts = it.repartition(1)
print(parts, parts.num_shards(), sorted(parts.gather_sync()))


@ray.remote
class Mine(parallel.ParallelIteratorWorker):
    def __init__(self, items):
        super().__init__(items, True)


print(parallel.from_actors([Mine.remote(["a", "b"])]).take(5))
