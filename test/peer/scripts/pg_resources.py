import time

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

ray.init(num_cpus=4, num_gpus=2, resources={"a": 2}, log_to_driver=False)
pg = ray.util.placement_group([{"CPU": 1, "a": 1}, {"CPU": 2, "GPU": 1}])
print(pg.wait(30))


def short(resources):
    keep = {}
    for key, value in resources.items():
        if key.split(":")[0] not in ("memory", "object_store_memory", "node"):
            keep[key.replace(pg.id.hex(), "PG")] = value
    return sorted(keep.items())


def settled(wanted):
    for _ in range(200):
        free = ray.available_resources()
        if free.get("CPU", 0) == wanted:
            break
        time.sleep(0.02)
    return short(free)


for line in settled(1.0):
    print("available", line)
for line in short(ray.cluster_resources()):
    print("total", line)


@ray.remote
def assigned():
    context = ray.get_runtime_context()
    return sorted((k.replace(pg.id.hex(), "PG"), v) for k, v in context.get_assigned_resources().items())


for index in (-1, 0, 1):
    print(index, ray.get(assigned.options(scheduling_strategy=In(pg, index)).remote()))
print(ray.get(assigned.options(num_cpus=0.5, resources={"a": 0.25}, scheduling_strategy=In(pg, 0)).remote()))
print(ray.get(assigned.options(num_gpus=1, scheduling_strategy=In(pg, 1)).remote()))
print(ray.get(assigned.options(num_cpus=0, scheduling_strategy=In(pg, 1)).remote()))
print(ray.get(assigned.remote()))


@ray.remote
class A:
    def assigned(self):
        context = ray.get_runtime_context()
        return sorted((k.replace(pg.id.hex(), "PG"), v) for k, v in context.get_assigned_resources().items())


for options in ({}, {"num_cpus": 1}, {"num_gpus": 1}):
    a = A.options(scheduling_strategy=In(pg), **options).remote()
    print(options, ray.get(a.assigned.remote()))
    ray.kill(a)
ray.util.remove_placement_group(pg)
for line in settled(4.0):
    print("after", line)
