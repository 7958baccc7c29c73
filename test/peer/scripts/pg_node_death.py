# SPDX-License-Identifier: Apache-2.0
import time

import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "resources": {"spare": 1}})
nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False)
lines = []  # Ray prints the dead raylet's log in between
pg = ray.util.placement_group([{"CPU": 2}, {"spare": 1}], strategy="SPREAD")
lines.append(pg.wait(20))


@ray.remote(max_restarts=-1, num_cpus=2)
class Actor:
    def where(self):
        return ray.get_runtime_context().get_node_id()

    def again(self):
        return ray.get_runtime_context().was_current_actor_reconstructed


actor = Actor.options(scheduling_strategy=In(pg, 0)).remote()
first = ray.get(actor.where.remote())
lines.append(first == ray.util.placement_group_table(pg)["bundles_to_node_id"][0])
lines.append(ray.get(actor.again.remote()))
dead = next((n for n in nodes if n.node_id == first), None)
lines.append(dead is not None)
cluster.remove_node(dead, allow_graceful=False)
second = first
errors = set()
for _ in range(200):
    try:
        second = ray.get(actor.where.remote(), timeout=5)
    except ray.exceptions.GetTimeoutError:
        pass
    except ray.exceptions.RayActorError as e:
        errors.add(isinstance(e, ray.exceptions.ActorUnavailableError))
    if second != first:
        break
    time.sleep(0.2)
lines += [second != first, False in errors, ray.get(actor.again.remote())]
for _ in range(100):
    table = ray.util.placement_group_table(pg)
    if table["state"] == "CREATED":
        break
    time.sleep(0.1)
lines += [second == table["bundles_to_node_id"][0], table["state"]]
lines.append(len(set(table["bundles_to_node_id"].values())))
print("=== begin", *lines, "=== end", sep="\n")
ray.shutdown()
cluster.shutdown()
