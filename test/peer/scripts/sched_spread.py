# SPDX-License-Identifier: Apache-2.0
import collections
import time

import ray
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
for _ in range(2):
    cluster.add_node(num_cpus=2)
ray.init(address=cluster.address, log_to_driver=False)


@ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
def where():
    time.sleep(1.0)
    return ray.get_runtime_context().get_node_id()


count = collections.Counter(ray.get([where.remote() for _ in range(6)]))
print(len(count), sorted(count.values()))


@ray.remote(num_cpus=1)
class Actor:
    def where(self):
        return ray.get_runtime_context().get_node_id()


time.sleep(1)
pg = ray.util.placement_group([{"CPU": 1}] * 3, strategy="STRICT_SPREAD")
print(pg.wait(20))
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

actors = [Actor.options(scheduling_strategy=In(pg, i)).remote() for i in range(3)]
nodes = ray.get([a.where.remote() for a in actors])
table = ray.util.placement_group_table(pg)["bundles_to_node_id"]
print(len(set(nodes)), [table[i] for i in range(3)] == nodes)
impossible = ray.util.placement_group([{"CPU": 1}] * 4, strategy="STRICT_SPREAD")
print(impossible.wait(0.5))
ray.shutdown()
cluster.shutdown()
