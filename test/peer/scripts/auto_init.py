# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

print(ray.is_initialized())


@ray.remote
def f():
    return 1


print(ray.get(f.remote()), ray.is_initialized())
ray.shutdown()
print(ray.get(ray.put(2)))
ray.shutdown()
print(ray.get_runtime_context().get_job_id())
