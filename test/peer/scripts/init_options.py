# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

context = ray.init(
    num_cpus=3,
    num_gpus=2,
    resources={"disk": 2},
    labels={"zone": "a"},
    namespace="space",
    object_store_memory=100 * 1024 * 1024,
    log_to_driver=False,
    include_dashboard=False,
    _node_name="the-node",
)
node = ray.nodes()[0]
print(node["NodeName"], node["Labels"]["zone"], node["Alive"])
total = ray.cluster_resources()
print({k: total[k] for k in ("CPU", "GPU", "disk", "object_store_memory")})
print(ray.get_runtime_context().namespace)
print(context["node_id"] == node["NodeID"], context.address_info["node_id"] == context["node_id"])
print(ray.__version__, context.python_version.count("."), context.ray_version)
with_context = sorted(k for k in context.address_info if k in ("address", "session_dir", "node_id", "gcs_address"))
print(with_context)
show("again", lambda: ray.init(num_cpus=1))
show("ignored", lambda: ray.init(num_cpus=1, ignore_reinit_error=True).address_info["node_id"] == node["NodeID"])
ray.shutdown()
ray.shutdown()
print(ray.is_initialized())
show("unknown", lambda: ray.init(num_cpu=1))
show("store", lambda: ray.init(object_store_memory=1000))
with ray.init(num_cpus=1, log_to_driver=False):
    print(ray.is_initialized())
print(ray.is_initialized())
