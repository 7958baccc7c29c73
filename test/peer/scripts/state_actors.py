# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show
from ray.util.state import get_actor, list_actors, list_nodes, list_placement_groups

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(num_cpus=0)
class A:
    def m(self):
        return 1


@ray.remote(num_cpus=0)
class B:
    def m(self):
        return 1


a, b, c = A.options(name="one").remote(), A.remote(), B.remote()
ray.get([x.m.remote() for x in (a, b, c)])
ray.kill(b)
for _ in range(100):
    dead = list_actors(filters=[("state", "=", "DEAD")])
    if dead:
        break
print(sorted((x.class_name, x.state, x.name or "") for x in list_actors()))
print(len(list_actors(filters=[("class_name", "=", "A")])), len(list_actors(filters=[("state", "!=", "DEAD")])))
print(len(list_actors(limit=1)), dead[0].actor_id == b._actor_id.hex())
one = get_actor(a._actor_id.hex())
print(one.name, one.state, one["class_name"], one.pid > 0)
print(get_actor("0" * 32))
print([n.state for n in list_nodes()], list_nodes()[0].is_head_node)
pg = ray.util.placement_group([{"CPU": 1}], name="group")
pg.wait(10)
print([(g.name, g.state) for g in list_placement_groups()])
