# SPDX-License-Identifier: Apache-2.0
import os
import time

import ray
from _show import Report
from ray.util import state
from ray.util.placement_group import placement_group

ray.init(num_cpus=2, log_to_driver=False)
os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
report = Report()


@ray.remote
class A:
    def m(self):
        print("a line of the actor")
        return ray.get_runtime_context().get_node_id()


a = A.options(name="a", lifetime="detached", namespace="n").remote()
node = ray.get(a.m.remote())
group = placement_group([{"CPU": 1}], name="group", strategy="STRICT_PACK")
ray.get(group.ready())


def until(condition):
    for _ in range(100):
        if condition():
            return
        time.sleep(0.2)


until(lambda: state.list_actors() and state.list_placement_groups())
actor = state.get_actor(a._actor_id.hex())
report.print(actor.state, actor.class_name, actor.name, actor.ray_namespace, actor.is_detached, actor.num_restarts)
report.print(actor.node_id == node, actor.pid > 0, actor.death_cause, actor.placement_group_id, actor.required_resources)
(pg,) = state.list_placement_groups(detail=True)
report.print(pg.name, pg.state, pg.is_detached, len(pg.bundles), pg.creator_job_id)
report.print(pg.bundles[0]["unit_resources"], state.get_placement_group(pg.placement_group_id).name)
report.print(state.get_node(node).is_head_node, state.get_node("00" * 28), state.get_actor("00" * 16))
report.print(state.get_worker("00" * 28), state.get_task("00" * 24), state.get_objects("00" * 28))
report.print([a.name for a in state.list_actors(filters=[("class_name", "=", "A"), ("state", "!=", "DEAD")])])
report.print([a.name for a in state.list_actors(filters=[("name", "=", "b")])])
report.print(state.list_actors(filters=[("STATE", "=", "alive")])[0].name)
report.show("limit 0", lambda: state.list_actors(limit=0))
report.show("no such resource", lambda: state.get_log(actor_id="00" * 16).__next__())
ref = ray.put(b"x" * 200000)
until(lambda: any(o.object_id == ref.hex() for o in state.list_objects()))
(mine,) = [o for o in state.list_objects() if o.object_id == ref.hex()]
report.print(mine.reference_type, mine.type, mine.object_size >= 200000)
report.print(sorted(state.summarize_objects()["cluster"])[:4])
names = state.list_logs(node_id=node)
report.print(all(isinstance(v, list) for v in names.values()), any("worker" in k for k in names))
lines = list(state.get_log(actor_id=a._actor_id.hex()))
report.print(any("a line of the actor" in line for line in lines))
report.print([getattr(j.type, "value", j.type) for j in state.list_jobs()], state.list_runtime_envs()[:0], state.list_cluster_events()[:0])
report.end()
ray.kill(a)
