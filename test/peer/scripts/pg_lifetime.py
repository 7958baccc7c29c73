import time

import ray
from ray.util import placement_group, placement_group_table, remove_placement_group

ray.init(num_cpus=4, log_to_driver=False, namespace="n")


def settled(pg, wanted):
    for _ in range(300):
        state = placement_group_table(pg)["state"]
        if state == wanted:
            break
        time.sleep(0.05)
    return state


@ray.remote(num_cpus=0)
class Maker:
    def make(self, **options):
        self.pg = placement_group([{"CPU": 1}], **options)
        self.pg.wait(10)
        return self.pg


a = Maker.remote()
own = ray.get(a.make.remote())
kept = ray.get(a.make.remote(lifetime="detached", name="kept"))
print(settled(own, "CREATED"), settled(kept, "CREATED"))
ray.kill(a)
print(settled(own, "REMOVED"), settled(kept, "CREATED"))


@ray.remote(num_cpus=0)
def make():
    pg = placement_group([{"CPU": 1}])
    pg.wait(10)
    return pg


of_task = ray.get(make.remote())
print(settled(of_task, "CREATED"))
print(ray.util.get_placement_group("kept") == kept)
remove_placement_group(kept)
print(settled(kept, "REMOVED"))
again = placement_group([{"CPU": 1}], name="kept")
print(again.wait(10), again != kept)
waits = placement_group([{"CPU": 3}], name="waits")
print(waits.wait(0.5), placement_group_table(waits)["state"])
remove_placement_group(again)
print(waits.wait(20), settled(waits, "CREATED"))
never = placement_group([{"CPU": 1000}], name="never")
time.sleep(0.5)
print(never.wait(0.1), placement_group_table(never)["state"], placement_group_table(never)["stats"]["scheduling_state"])
