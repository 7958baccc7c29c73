# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group

ray.init(num_cpus=2, labels={"zone": "a"}, log_to_driver=False)


def made(*args, **kwargs):
    group = placement_group(*args, **kwargs)
    ready = group.wait(2)
    remove_placement_group(group)
    return ready


for label, kwargs in [
    ("matches", dict(bundle_label_selector=[{"zone": "a"}])),
    ("does not match", dict(bundle_label_selector=[{"zone": "b"}])),
    ("one for two", dict(bundles=[{"CPU": 1}, {"CPU": 1}], bundle_label_selector=[{"zone": "a"}])),
    ("no list", dict(bundle_label_selector={"zone": "a"})),
    ("no map", dict(bundle_label_selector=["zone"])),
    ("bad value", dict(bundle_label_selector=[{"zone": "-"}])),
    ("no strings", dict(bundle_label_selector=[{"zone": 1}])),
    ("empty", dict(bundle_label_selector=[])),
    ("topology, no map", dict(topology_strategy="rack")),
    ("topology, two", dict(topology_strategy={"a": "STRICT_PACK", "b": "STRICT_PACK"})),
    ("node", dict(_soft_target_node_id="ab")),
    ("node, packed", dict(strategy="STRICT_PACK", _soft_target_node_id=ray.nodes()[0]["NodeID"])),
    ("lifetime", dict(lifetime="long")),
    ("fractions", dict(bundles=[{"CPU": 0.25}, {"CPU": 0.75}])),
    ("zero", dict(bundles=[{"CPU": 0}])),
    ("zero and more", dict(bundles=[{"CPU": 0, "GPU": 0}, {"CPU": 1}])),
    ("negative", dict(bundles=[{"CPU": -1}])),
    ("text", dict(bundles=[{"CPU": "1"}])),
    ("no bundles", dict(bundles=[])),
]:
    kwargs.setdefault("bundles", [{"CPU": 1}])
    show(label, lambda: made(**kwargs))
group = placement_group([{"CPU": 1}], strategy="SPREAD", name="n")
show("specs", lambda: (group.bundle_specs, group.bundle_count, group.is_empty))
table = placement_group_table(group)
print(sorted(table), table["strategy"], table["name"], table["bundles"])
