# SPDX-License-Identifier: Apache-2.0
import os
import time

import ray
from _show import Report
from ray.util import state

ray.init(num_cpus=1, log_to_driver=False)
os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
report = Report()


@ray.remote
class A:
    def __init__(self, value=None):
        self.value = value

    def pid(self):
        return os.getpid()

    def die(self):
        os._exit(1)


@ray.remote
def slow():
    time.sleep(1000)


def comes(actor, wanted):
    for _ in range(150):
        found = state.get_actor(actor._actor_id.hex())
        if found is not None and found.state == wanted:
            return True
        time.sleep(0.2)
    return found.state if found else None


waiting_for = slow.options(num_cpus=0).remote()
unready = A.remote(waiting_for)
report.print("argument not there", comes(unready, "DEPENDENCIES_UNREADY"))
pending = A.options(num_cpus=5).remote()
report.print("no place", comes(pending, "PENDING_CREATION"))
alive = A.options(num_cpus=0, max_restarts=1).remote()
first = ray.get(alive.pid.remote())
report.print("alive", comes(alive, "ALIVE"))
alive.die.remote()
for _ in range(150):
    try:
        if ray.get(alive.pid.remote()) != first:
            break
    except ray.exceptions.RayActorError:
        time.sleep(0.1)
found = state.get_actor(alive._actor_id.hex())
report.print("again", found.state, found.num_restarts)
ray.kill(alive)
report.print("killed", comes(alive, "DEAD"))
ray.kill(pending)
report.print("killed before it began", comes(pending, "DEAD"))
report.show("call", lambda: ray.get(pending.pid.remote()))
ray.cancel(waiting_for, force=True)
report.print("its argument failed", comes(unready, "DEAD"))
try:
    ray.get(unready.pid.remote())
except Exception as e:
    report.print(type(e).__name__)
report.end()
