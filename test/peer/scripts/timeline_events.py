# SPDX-License-Identifier: Apache-2.0
import json
import os
import tempfile
import time

import ray
from _show import show

show("before init", lambda: ray.timeline())
ray.init(num_cpus=1, log_to_driver=False)


@ray.remote
def work(n):
    return n


@ray.remote
class A:
    def m(self):
        return 1


a = A.remote()
ray.get([work.remote(i) for i in range(3)] + [a.m.remote()])
for _ in range(30):
    events = ray.timeline()
    kinds = [e["cat"] for e in events]
    if kinds.count("task::work") >= 3 and "task::A.m" in kinds:
        break
    time.sleep(1)
print(sorted({e["ph"] for e in events}), sorted({tuple(sorted(e)) for e in events}))
print(sorted({(e["cat"], e["cname"]) for e in events if e["cat"].startswith("task::")}))
print(kinds.count("task::work"), "task:execute" in kinds, all(e["dur"] >= 0 and e["ts"] > 0 for e in events))
one = next(e for e in events if e["cat"] == "task::work")
print(one["pid"] == ray.util.get_node_ip_address(), one["tid"].startswith("worker:"), len(one["tid"]))
print("name" in one["args"], "task_id" in one["args"], abs(one["ts"] / 1e6 - time.time()) < 3600)
path = os.path.join(tempfile.mkdtemp(), "t.json")
print(ray.timeline(filename=path))
print(len(json.load(open(path))) >= 4)
