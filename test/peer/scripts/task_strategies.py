# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show
from ray.util.placement_group import placement_group

ray.init(num_cpus=3, log_to_driver=False)


@ray.remote
def f():
    return sorted(ray.get_runtime_context().get_assigned_resources()), ray.get_runtime_context().get_placement_group_id() is not None


for strategy in (None, "DEFAULT", "SPREAD"):
    print(strategy, ray.get(f.options(scheduling_strategy=strategy).remote()))
for strategy in ("default", "RANDOM", "", 1, ["SPREAD"], f):
    show(f"strategy {type(strategy).__name__}", lambda: f.options(scheduling_strategy=strategy) and None)
group = placement_group([{"CPU": 1}, {"CPU": 1}])
ray.get(group.ready())
print(len(ray.get(f.options(placement_group=group).remote())[0]))
print(len(ray.get(f.options(placement_group=group, placement_group_bundle_index=1).remote())[0]))
print(ray.get(f.options(placement_group=None).remote())[1], ray.get(f.options(placement_group="default").remote())[1])
show("index", lambda: f.options(placement_group=group, placement_group_bundle_index=2).remote())
show("index, negative", lambda: f.options(placement_group=group, placement_group_bundle_index=-2).remote())
show("both", lambda: f.options(placement_group=group, scheduling_strategy="SPREAD").remote())
show("index without a group", lambda: f.options(placement_group_bundle_index=1).remote() and None)
show("capture", lambda: f.options(placement_group_capture_child_tasks=1) and None)
show("too much", lambda: f.options(placement_group=group, num_cpus=2).remote())
show("other resource", lambda: f.options(placement_group=group, resources={"x": 1}).remote())
