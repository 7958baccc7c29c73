# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, resources={"r": 4}, namespace="mine")


@ray.remote
class A:
    def facts(self):
        c = ray.get_runtime_context()
        return {
            "job": c.get_job_id(), "task": len(c.get_task_id()), "actor": len(c.get_actor_id()),
            "name": c.get_task_name(), "function": c.get_task_function_name(),
            "namespace": c.namespace, "resources": sorted(c.get_assigned_resources().items()),
            "env": c.get_runtime_env_string(), "actor_name": c.get_actor_name(),
            "restarted": c.was_current_actor_reconstructed,
        }

    def ids(self):
        c = ray.get_runtime_context()
        return c.get_actor_id(), c.get_task_id()


a = A.remote()
print(ray.get(a.facts.remote()))
actor, task = ray.get(a.ids.remote())
print(actor == a._actor_id.hex(), task.endswith(actor), actor.endswith("01000000"))
print(ray.get(A.options(name="n", num_cpus=1, resources={"r": 1}).remote().facts.remote()))
print(ray.get(a.facts.options(name="renamed").remote())["name"])
