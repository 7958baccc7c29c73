import ray
from _show import show
from ray.util.placement_group import PlacementGroup, get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

ray.init(num_cpus=4, resources={"a": 2}, log_to_driver=False)

pg = ray.util.placement_group([{"CPU": 1}, {"CPU": 1, "a": 1}], strategy="PACK", name="first")
print(type(pg).__name__, pg.wait(30), pg.bundle_specs, pg.bundle_count, pg.is_empty)
print(ray.get(pg.ready()) == pg, len(pg.id.hex()), pg.id.hex()[-8:], hash(pg) == hash(pg.id))
empty = PlacementGroup.empty()
print(empty.is_empty, empty.id.is_nil(), empty == pg, ray.get(empty.ready()) == empty)


def ordered(bundles):
    return [sorted(bundle.items()) for bundle in bundles]


def clean(table):
    table = dict(table)
    for key in ("placement_group_id", "stats", "bundles_to_node_id"):
        print("   ", key, type(table.get(key)).__name__, sorted(table[key]) if key == "stats" else "")
        table.pop(key, None)
    return table


table = ray.util.placement_group_table(pg)
print(table["placement_group_id"] == pg.id.hex(), list(table))
bundles = clean(table)
print({**bundles, "bundles": ordered(bundles["bundles"].values())})
print(sorted(table["bundles_to_node_id"]), set(table["bundles_to_node_id"].values()) == {ray.nodes()[0]["NodeID"]})
print(table["stats"]["scheduling_state"], table["stats"]["scheduling_attempt"])
print([k == pg.id.hex() for k in ray.util.placement_group_table()])


@ray.remote
def inside():
    return get_current_placement_group(), ray.get_runtime_context().get_placement_group_id()


@ray.remote
class Actor:
    def inside(self):
        return get_current_placement_group(), ray.get_runtime_context().get_assigned_resources()


group, name = ray.get(inside.options(scheduling_strategy=In(pg)).remote())
print(group == pg, name == pg.id.hex(), ordered(group.bundle_specs))
print(ray.get(inside.remote()), get_current_placement_group())
actor = Actor.options(num_cpus=1, scheduling_strategy=In(pg, 1)).remote()
group, resources = ray.get(actor.inside.remote())
print(group == pg, resources)
again = ray.util.get_placement_group("first")
print(again == pg, ordered(again.bundle_specs), again.bundle_count)
show("no such name", lambda: ray.util.get_placement_group("second"))
show("no name", lambda: ray.util.get_placement_group(""))
show("name taken", lambda: ray.util.placement_group([{"CPU": 1}], name="first"))
show("removed", lambda: ray.util.remove_placement_group(pg))
show("removed again", lambda: ray.util.remove_placement_group(pg))
for _ in range(100):
    table = ray.util.placement_group_table(pg)
    if table["state"] == "REMOVED":
        break
print(table["state"], table["name"], ordered(table["bundles"].values()), table["strategy"])
show("wait on a removed one", lambda: pg.wait(1))
show("name of a removed one", lambda: ray.util.get_placement_group("first"))
show("None", lambda: ray.util.remove_placement_group(None))
