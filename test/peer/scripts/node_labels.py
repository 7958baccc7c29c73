# SPDX-License-Identifier: Apache-2.0
import os

os.environ.update(
    RAY_NODE_TYPE_NAME="group-a", RAY_NODE_MARKET_TYPE="spot", RAY_NODE_REGION="us-west", RAY_NODE_ZONE="us-west-2b"
)
import ray

ray.init(num_cpus=1, labels={"mine": "x"}, log_to_driver=False)
labels = ray.get_runtime_context().get_node_labels()
print(sorted((k, v) for k, v in labels.items() if k != "ray.io/node-id"))
print(labels["ray.io/node-id"] == ray.get_runtime_context().get_node_id(), labels == ray.nodes()[0]["Labels"])


@ray.remote
def f():
    return sorted(ray.get_runtime_context().get_node_labels()) == sorted(labels)


print(ray.get(f.options(label_selector={"ray.io/market-type": "spot"}).remote()))
print(ray.get(f.options(label_selector={"ray.io/availability-zone": "in(us-west-2a,us-west-2b)"}).remote()))
print(ray.wait([f.options(label_selector={"ray.io/node-group": "group-b"}).remote()], timeout=1)[0])
