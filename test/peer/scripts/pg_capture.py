import ray
from ray.util.placement_group import get_current_placement_group as current
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

ray.init(num_cpus=4, log_to_driver=False)
pg = ray.util.placement_group([{"CPU": 2}, {"CPU": 1}])
pg.wait(10)


@ray.remote(num_cpus=0)
def child():
    return current() == pg, ray.get_runtime_context().should_capture_child_tasks_in_placement_group


@ray.remote(num_cpus=0)
class Child:
    def where(self):
        return current() == pg


@ray.remote(num_cpus=1)
def parent():
    context = ray.get_runtime_context()
    inner = Child.remote()
    return (
        context.should_capture_child_tasks_in_placement_group,
        ray.get(child.remote()),
        ray.get(child.options(scheduling_strategy="DEFAULT").remote()),
        ray.get(child.options(placement_group=None).remote()),
        ray.get(inner.where.remote()),
    )


@ray.remote(num_cpus=1)
class Parent:
    def run(self):
        return ray.get(child.remote()), ray.get(child.options(scheduling_strategy="SPREAD").remote())


for capture in (None, False, True):
    print(capture, ray.get(parent.options(scheduling_strategy=In(pg, placement_group_capture_child_tasks=capture)).remote()))
    p = Parent.options(scheduling_strategy=In(pg, 0, capture)).remote()
    print(capture, ray.get(p.run.remote()))
    ray.kill(p)
print(ray.get(parent.options(placement_group=pg, placement_group_capture_child_tasks=True).remote()))
print(ray.get_runtime_context().should_capture_child_tasks_in_placement_group)
