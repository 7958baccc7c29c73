# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report
from ray.cluster_utils import Cluster

report = Report()
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "resources": {"head": 1}})
worker = cluster.add_node(num_cpus=1, resources={"worker": 2}, labels={"zone": "a"})
cluster.wait_for_nodes()
ray.init(address=cluster.address, log_to_driver=False, namespace="n")
report.print(len(ray.nodes()), ray.cluster_resources()["CPU"], ray.cluster_resources()["worker"])
labels = {n["NodeID"]: n["Labels"] for n in ray.nodes()}
report.print(labels[worker.node_id].get("zone"), labels[worker.node_id]["ray.io/node-id"] == worker.node_id)


@ray.remote(num_cpus=0)
def here():
    return ray.get_runtime_context().get_node_id()


@ray.remote(num_cpus=0, resources={"worker": 1})
class Actor:
    def where(self):
        return ray.get_runtime_context().get_node_id()

    def big(self):
        return b"x" * 2_000_000


actor = Actor.remote()
report.print(ray.get(actor.where.remote()) == worker.node_id)
report.print(ray.get(here.options(resources={"head": 1}).remote()) != worker.node_id)
value = actor.big.remote()
report.print(len(ray.get(value)))
cluster.remove_node(worker)
for _ in range(300):
    if sum(n["Alive"] for n in ray.nodes()) == 1:
        break
    import time

    time.sleep(0.1)
report.print([n["Alive"] for n in ray.nodes() if n["NodeID"] == worker.node_id])
report.print("worker" in ray.cluster_resources())
try:
    ray.get(actor.where.remote(), timeout=30)
except ray.exceptions.RayActorError as e:
    report.print(type(e).__name__)
third = cluster.add_node(num_cpus=1, resources={"worker": 1})
again = Actor.remote()
report.print(ray.get(again.where.remote()) == third.node_id)
report.end()
ray.shutdown()
cluster.shutdown()
