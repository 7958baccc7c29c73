# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show
from ray.util.placement_group import get_placement_group, placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

ray.init(num_cpus=2, log_to_driver=False)
never = ray.util.placement_group([{"CPU": 100}])
print(never.wait(0.2), len(ray.wait([never.ready()], timeout=0.2)[0]))
print(placement_group_table(never)["state"], placement_group_table(never)["stats"]["scheduling_state"])
show("get", lambda: ray.get(never.ready(), timeout=0.2))
first = ray.util.placement_group([{"CPU": 2}], name="first")
print(first.wait(10), get_placement_group("first").id == first.id, first.bundle_count, first.bundle_specs)
second = ray.util.placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_PACK")
print(second.wait(0.3))


@ray.remote
def f():
    return ray.util.get_current_placement_group() is not None


inside = f.options(scheduling_strategy=In(second, 1)).remote()
print(len(ray.wait([inside], timeout=0.3)[0]))
ray.util.remove_placement_group(first)
print(ray.get(inside), second.wait(10))
print(ray.get(second.ready()) is not None)
show("index", lambda: f.options(scheduling_strategy=In(second, 5)).remote())
show("too much", lambda: f.options(scheduling_strategy=In(second, 0), num_cpus=3).remote())
show("gone", lambda: get_placement_group("first"))
ray.util.remove_placement_group(second)
ray.util.remove_placement_group(second)
print(placement_group_table(second)["state"])
