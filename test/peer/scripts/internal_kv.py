# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show
from ray.autoscaler.sdk import request_resources
from ray.experimental import internal_kv as kv

ray.init(num_cpus=1, log_to_driver=False)
print(kv._internal_kv_initialized())
print(kv._internal_kv_put("a", "1"), kv._internal_kv_put(b"a", b"2"))
print(kv._internal_kv_put("a", "3", overwrite=False), kv._internal_kv_get("a"))
print(kv._internal_kv_put("a", "4", namespace="mine"), kv._internal_kv_get("a", namespace=b"mine"))
print(kv._internal_kv_get("none"), kv._internal_kv_exists("a"), kv._internal_kv_exists("none"))
kv._internal_kv_put("prefix:1", "x", namespace="mine")
kv._internal_kv_put("prefix:2", "y", namespace="mine")
print(sorted(kv._internal_kv_list("prefix:", namespace="mine")))
print(kv._internal_kv_del("a"), kv._internal_kv_del("a"), kv._internal_kv_get("a", namespace="mine"))
print(kv._internal_kv_del("prefix:", del_by_prefix=True, namespace="mine"))


@ray.remote
def write(key):
    kv._internal_kv_put(key, "from a task")


ray.get(write.remote("task"))
print(kv._internal_kv_get("task"))
print(request_resources(num_cpus=1), request_resources(bundles=[{"CPU": 0.5}]))
show("num_cpus", lambda: request_resources(num_cpus=1.5))
show("bundles", lambda: request_resources(bundles={"CPU": 1}))
show("a bundle", lambda: request_resources(bundles=[1]))
show("a key", lambda: request_resources(bundles=[{1: 1}]))
show("a value", lambda: request_resources(bundles=[{"CPU": True}]))
show("selectors alone", lambda: request_resources(bundle_label_selectors=[{}]))
show("lengths", lambda: request_resources(bundles=[{"CPU": 1}], bundle_label_selectors=[{}, {}]))
show("no strings", lambda: request_resources(bundles=[{"CPU": 1}], bundle_label_selectors=[{"a": 1}]))
show("bad", lambda: request_resources(bundles=[{"CPU": 1}], bundle_label_selectors=[{"a": "!!"}]))
