# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import os
import time


def used_share(extra):
    fields = {}
    with open("/proc/meminfo") as file:
        for line in file:
            name, value = line.split(":")
            fields[name] = int(value.split()[0]) * 1024
    return (fields["MemTotal"] - fields["MemAvailable"] + extra) / fields["MemTotal"]


os.environ["RAY_memory_usage_threshold"] = str(used_share(3 * 10**9))
os.environ["RAY_memory_monitor_refresh_ms"] = "50"
ray.init(num_cpus=2, object_store_memory=100 * 1024 * 1024, log_to_driver=False)


def fill():
    kept = []
    while True:
        kept.append(b"x" * (64 << 20))
        time.sleep(0.05)


@ray.remote(max_retries=0)
def eats():
    fill()


@ray.remote
class Eats:
    def eat(self):
        fill()


def tell(label, ref):
    try:
        ray.get(ref, timeout=60)
    except Exception as e:
        print(label, [c.__name__ for c in type(e).__mro__][:3])
        text = str(e)
        print(text.splitlines()[0].split(" was ")[0].split("(IP")[0])
        for words in ("OOM kill reason: Memory usage", "exceeded threshold of", "Ray killed 1 worker(s)",
                      "Selected to kill: (Task:", "task name=eats",
                      "Set max_retries to enable retry", "Set max_restarts and max_task_retries",
                      "`RAY_memory_usage_threshold`", "`RAY_memory_monitor_refresh_ms` to zero"):
            print("  ", words in text, words)


tell("task", eats.remote())
actor = Eats.remote()
tell("actor", actor.eat.remote())


@ray.remote
def fine():
    return "fine"


print(ray.get(fine.remote()))
