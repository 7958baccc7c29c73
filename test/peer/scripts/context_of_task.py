# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, resources={"r": 4}, namespace="mine")


def facts():
    c = ray.get_runtime_context()
    return {
        "job": c.get_job_id(), "task": len(c.get_task_id()), "actor": c.get_actor_id(),
        "name": c.get_task_name(), "function": c.get_task_function_name(), "namespace": c.namespace,
        "resources": sorted(c.get_assigned_resources().items()), "env": c.get_runtime_env_string(),
        "actor_name": c.get_actor_name(), "worker": len(c.get_worker_id()), "canceled": c.is_canceled(),
        "same_task": c.get_task_id()[16:],
    }


@ray.remote
def task():
    return facts()


class Space:
    @staticmethod
    def make():
        @ray.remote
        def inner():
            return facts()

        return inner


print(ray.get(task.remote()))
print(ray.get(task.options(name="other", num_cpus=2, resources={"r": 0.5}).remote()))
print(ray.get(task.options(num_cpus=0).remote()))
print(ray.get(Space.make().remote()))
