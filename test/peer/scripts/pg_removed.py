import time

import ray
from _show import Report
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

ray.init(num_cpus=2, log_to_driver=False)
report = Report()


@ray.remote(max_retries=0)
def sleeps(seconds):
    time.sleep(seconds)
    return 1


@ray.remote
class A:
    def m(self):
        return 1

    def sleep(self):
        time.sleep(100)


pg = ray.util.placement_group([{"CPU": 1}])
pg.wait(10)
running = sleeps.options(scheduling_strategy=In(pg)).remote(100)
waiting = sleeps.options(scheduling_strategy=In(pg)).remote(0)
time.sleep(2)
ray.util.remove_placement_group(pg)
report.show("running", lambda: ray.get(running, timeout=20))
report.show("waiting", lambda: ray.get(waiting, timeout=20))

pg = ray.util.placement_group([{"CPU": 1}])
a = A.options(num_cpus=1, scheduling_strategy=In(pg)).remote()
b = A.options(num_cpus=1, scheduling_strategy=In(pg)).remote()
report.show("actor", lambda: ray.get(a.m.remote()))
ref = a.sleep.remote()
pending = b.m.remote()
ray.util.remove_placement_group(pg)
report.show("in the actor", lambda: ray.get(ref, timeout=20))
report.show("after", lambda: ray.get(a.m.remote(), timeout=20))
report.show("pending actor", lambda: ray.get(pending, timeout=20))

pg = ray.util.placement_group([{"CPU": 100}])
report.show("infeasible", lambda: pg.wait(0.5))
ref = pg.ready()
ray.util.remove_placement_group(pg)
report.show("ready of a removed one", lambda: ray.get(ref, timeout=10))
report.end()
