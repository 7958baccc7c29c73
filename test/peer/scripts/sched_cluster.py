# SPDX-License-Identifier: Apache-2.0
import time

import ray
from _show import show
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "labels": {"where": "head"}})
second = cluster.add_node(num_cpus=2, resources={"left": 1}, labels={"where": "left"})
third = cluster.add_node(num_cpus=2, resources={"right": 1}, labels={"where": "right"})
ray.init(address=cluster.address, log_to_driver=False)
print(len(ray.nodes()), all(n["Alive"] for n in ray.nodes()))
total = ray.cluster_resources()
print({k: total[k] for k in ("CPU", "left", "right")})
print(second.node_id in {n["NodeID"] for n in ray.nodes()}, len(cluster.list_all_nodes()))


@ray.remote
def where():
    return ray.get_runtime_context().get_node_id()


@ray.remote
def label():
    return ray.get_runtime_context().get_node_labels()["where"]


print(ray.get(label.options(resources={"left": 0.1}).remote()))
print(ray.get(label.options(label_selector={"where": "right"}).remote()))
print(ray.get(label.options(scheduling_strategy=On(second.node_id, False)).remote()))
print(ray.get(label.options(label_selector={"where": "!in(left,right)"}).remote()))


@ray.remote(num_cpus=1)
class Actor:
    def where(self):
        return ray.get_runtime_context().get_node_id()


time.sleep(1)  # the tasks' workers have let their CPUs go, on every node
spread = [Actor.options(scheduling_strategy="SPREAD").remote() for _ in range(3)]
print(len(set(ray.get([a.where.remote() for a in spread]))))
for a in spread:
    ray.kill(a)
time.sleep(1)
big = ray.put(b"x" * 3_000_000)


@ray.remote
def size(data):
    return len(data), ray.get_runtime_context().get_node_labels()["where"]


print([ray.get(size.options(label_selector={"where": w}).remote(big)) for w in ("left", "right", "head")])


def groups(strategy, count):
    pg = ray.util.placement_group([{"CPU": 1}] * count, strategy=strategy)
    if not pg.wait(10):
        ray.util.remove_placement_group(pg)
        return "waits"
    nodes = ray.util.placement_group_table(pg)["bundles_to_node_id"]
    ran = [ray.get(where.options(scheduling_strategy=In(pg, i)).remote()) for i in range(count)]
    ray.util.remove_placement_group(pg)
    time.sleep(0.5)
    return len(set(nodes.values())), ran == [nodes[i] for i in range(count)]


print("STRICT_PACK", groups("STRICT_PACK", 2))
print("PACK", groups("PACK", 2))
print("SPREAD", groups("SPREAD", 3))
print("STRICT_SPREAD", groups("STRICT_SPREAD", 3))
many = ray.util.placement_group([{"CPU": 1}] * 3, strategy="STRICT_SPREAD")
print(many.wait(10), len(set(ray.get([where.options(scheduling_strategy=In(many)).remote() for _ in range(3)]))) <= 3)
left = ray.util.placement_group([{"CPU": 1}], bundle_label_selector=[{"where": "left"}])
print(left.wait(10), ray.get(label.options(scheduling_strategy=In(left)).remote()))
ray.util.remove_placement_group(left)
ray.util.remove_placement_group(many)
cluster.remove_node(second)
for _ in range(100):
    if sum(n["Alive"] for n in ray.nodes()) == 2:
        break
    time.sleep(0.1)
print(sum(n["Alive"] for n in ray.nodes()), ray.cluster_resources()["CPU"])
show("dead node", lambda: ray.get(where.options(scheduling_strategy=On(second.node_id, False)).remote(), timeout=20))
ray.shutdown()
cluster.shutdown()
