# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, namespace="mine")
c = ray.get_runtime_context()
print(c.get_job_id(), len(c.get_node_id()), c.namespace, c.get_runtime_env_string())
print(c.get_worker_id())
print(c.get_task_id(), c.get_actor_id(), c.get_task_name(), c.get_actor_name())
print(c.get_placement_group_id(), c.should_capture_child_tasks_in_placement_group)
show("resources", lambda: c.get_assigned_resources())
show("current actor", lambda: c.current_actor)
show("canceled", lambda: c.is_canceled())
print(ray.get_gpu_ids(), sorted(c.get_accelerator_ids()), c.get_session_name().startswith("session_"))
print(sorted(c.get_node_labels()))
ray.shutdown()
show("job id", lambda: ray.runtime_context.get_runtime_context().get_job_id() and 1)
