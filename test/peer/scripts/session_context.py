# SPDX-License-Identifier: Apache-2.0
import warnings

import ray
from _show import show

warnings.simplefilter("ignore")
context = ray.init(num_cpus=1, log_to_driver=False, include_dashboard=False)
print(type(context).__name__, [c.__name__ for c in type(context).__mro__][1:3])
print(len(context), sorted(context) == sorted(context.address_info), "node_id" in context)
print(context.get("nothing", 5), context["node_id"] == context.address_info["node_id"])
show("no such key", lambda: context["nothing"])
print(context.dashboard_url, context.ray_commit is not None)
print(context.ray_version == ray.__version__)
print(isinstance(context._repr_html_(), str))
print(ray.is_initialized())
with context as same:
    print(same is context, ray.is_initialized())
print(ray.is_initialized())
context = ray.init(num_cpus=1, log_to_driver=False)
show("disconnect", lambda: context.disconnect())
print(ray.is_initialized())
show("shutdown", lambda: ray.shutdown())
show("shutdown, bad", lambda: ray.shutdown(1))
show("disconnect again", lambda: context.disconnect())
