import ray
from _show import show
from ray.util import placement_group as make
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

ray.init(num_cpus=2, log_to_driver=False)
show("not a list", lambda: make({"CPU": 1}))
show("empty", lambda: make([]))
show("empty bundle", lambda: make([{}]))
show("zero", lambda: make([{"CPU": 0}]))
show("not dicts", lambda: make([1]))
show("not numbers", lambda: make([{"CPU": "1"}]))
show("lifetime", lambda: make([{"CPU": 1}], lifetime="forever"))
show("selectors", lambda: make([{"CPU": 1}], bundle_label_selector=[]))
show("selector", lambda: make([{"CPU": 1}], bundle_label_selector=[{"a": 1}]))
show("selector value", lambda: make([{"CPU": 1}], bundle_label_selector=[{"a": "-x-"}]))
show("both strategies", lambda: make([{"CPU": 1}], "PACK", topology_strategy={"a": "PACK"}))
show("topology", lambda: make([{"CPU": 1}], topology_strategy={"a": "PACK"}))
show("topology kind", lambda: make([{"CPU": 1}], topology_strategy=[]))
show("two topologies", lambda: make([{"CPU": 1}], topology_strategy={"a": "STRICT_PACK", "b": "STRICT_PACK"}))
show("soft target", lambda: make([{"CPU": 1}], _soft_target_node_id="aa"))
show("negative", lambda: make([{"CPU": -1}]))


@ray.remote
def f():
    return 1


@ray.remote
class A:
    def m(self):
        return 1


pg = make([{"CPU": 1}])
print(pg.wait(10))
show("index", lambda: f.options(scheduling_strategy=In(pg, 1)).remote())
show("index below", lambda: f.options(scheduling_strategy=In(pg, -2)).remote())
show("shape", lambda: f.options(num_cpus=2, scheduling_strategy=In(pg)).remote())
show("resource", lambda: f.options(resources={"x": 1}, scheduling_strategy=In(pg)).remote())
show("actor shape", lambda: A.options(num_cpus=2, scheduling_strategy=In(pg)).remote())
gpu = make([{"x": 1}])
show("actor's creation", lambda: A.options(scheduling_strategy=In(gpu)).remote())
show("index without group", lambda: f.options(placement_group=None, placement_group_bundle_index=0).remote())
show("not a group", lambda: f.options(scheduling_strategy=In("x")).remote())
show("both", lambda: f.options(placement_group=pg, scheduling_strategy="SPREAD").remote())
show("unknown", lambda: f.options(scheduling_strategy="TIGHT").remote())
print(ray.get(f.options(placement_group=pg).remote()))
print(ray.get(f.options(placement_group=pg, placement_group_bundle_index=0).remote()))
