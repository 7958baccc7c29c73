# SPDX-License-Identifier: Apache-2.0
import threading

import ray
from _show import show
from ray.util import accelerators, inspect_serializability
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

print(accelerators.NVIDIA_TESLA_V100, accelerators.NVIDIA_A100, accelerators.NVIDIA_H100)
ray.init(num_cpus=1, log_to_driver=False)
print(ray.util.get_node_ip_address() == ray.nodes()[0]["NodeManagerAddress"])
lock = threading.Lock()


def uses_lock():
    return lock


print(inspect_serializability(3)[0])
show("no node", lambda: NodeAffinitySchedulingStrategy(None, soft=False).node_id)
show("not soft", lambda: NodeAffinitySchedulingStrategy("ab", soft=False, _spill_on_unavailable=True))


@ray.remote
def f():
    return lock


try:
    f.remote()
except TypeError as e:
    print(type(e).__name__, str(e).splitlines()[0])
show("put", lambda: ray.put(ray.put(1)))
print(ray.util.get_current_placement_group())
