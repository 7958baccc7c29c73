import ray
from _show import show
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

ray.init(num_cpus=2, log_to_driver=False)
here = ray.get_runtime_context().get_node_id()
nowhere = "ab" * 28


@ray.remote
def where():
    return ray.get_runtime_context().get_node_id()


@ray.remote
class Actor:
    def where(self):
        return ray.get_runtime_context().get_node_id()


print(ray.get(where.options(scheduling_strategy=On(here, soft=False)).remote()) == here)
print(ray.get(where.options(scheduling_strategy=On(here, soft=True)).remote()) == here)
print(ray.get(where.options(scheduling_strategy=On(nowhere, soft=True)).remote()) == here)
show("dead", lambda: ray.get(where.options(scheduling_strategy=On(nowhere, soft=False)).remote(), timeout=20))
print(ray.get(Actor.options(scheduling_strategy=On(here, False)).remote().where.remote()) == here)
a = Actor.options(scheduling_strategy=On(nowhere, True)).remote()
print(ray.get(a.where.remote()) == here)
b = Actor.options(scheduling_strategy=On(nowhere, False)).remote()
show("dead", lambda: ray.get(b.where.remote(), timeout=20))
show("bad id", lambda: On("xyz", False))
show("nil id", lambda: On("ff" * 28, False))
show("spill", lambda: On(here, False, _spill_on_unavailable=True))
show("fail", lambda: On(here, True, _fail_on_unavailable=True))
show("fails at once", lambda: ray.get(where.options(num_cpus=100, scheduling_strategy=On(here, False, _fail_on_unavailable=True)).remote(), timeout=20))
print(ray.get(where.options(scheduling_strategy="SPREAD").remote()) == here)
print(ray.get(where.options(scheduling_strategy="DEFAULT").remote()) == here)
