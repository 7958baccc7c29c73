# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

c = ray.init(num_cpus=3, resources={"x": 2}, labels={"zone": "z1"}, object_store_memory=100 * 1024 * 1024)
node = ray.nodes()[0]
print(sorted(node), len(ray.nodes()))
print(node["Alive"], node["alive"], len(node["NodeID"]), node["DeathReason"], repr(node["DeathReasonMessage"]))
print(node["Resources"]["CPU"], node["Resources"]["x"], node["Resources"]["object_store_memory"])
print(node["Labels"]["zone"], node["Labels"]["ray.io/node-id"] == node["NodeID"])
print(sorted(c.address_info))
print(c.address_info["node_id"] == node["NodeID"], c.python_version.startswith("3."), c.ray_version)
print(c.address_info["gcs_address"] == c.address_info["address"], ray.is_initialized())
print(f"node:{node['NodeManagerAddress']}" in ray.cluster_resources())
with c:
    pass
print(ray.is_initialized())
for name in ("nodes", "cluster_resources", "available_resources"):
    show(name, lambda: getattr(ray, name)())
