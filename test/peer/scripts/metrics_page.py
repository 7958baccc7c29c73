# SPDX-License-Identifier: Apache-2.0
import os
import re
import time
import urllib.request

os.environ["RAY_metrics_report_interval_ms"] = "500"
import ray
from _show import show
from ray.util.metrics import Counter, Gauge, Histogram

ray.init(num_cpus=1, log_to_driver=False)
counter = Counter("mine_requests", description="how many", tag_keys=("route", "code"))
counter.set_default_tags({"code": "200"})
counter.inc(2, tags={"route": "/"})
counter.inc(tags={"route": "/"})
counter.inc(5.5, tags={"route": "/x", "code": "404"})
gauge = Gauge("mine_level", description="", tag_keys=("a",))
gauge.set(3, tags={"a": "1"})
gauge.set(-2.5, tags={"a": "1"})
gauge.set(7, tags={"a": ""})
bare = Gauge("mine_bare")
bare.set(1)
histogram = Histogram("mine_sizes", description="sizes", boundaries=[1, 10, 100.5], tag_keys=("t",))
for value in (0.5, 1, 5, 10, 200):
    histogram.observe(value, tags={"t": "x"})


@ray.remote
def task():
    Counter("mine_in_task", "of a task").inc(4)
    time.sleep(3)


ray.get(task.remote())
port = ray.nodes()[0]["MetricsExportPort"]
hosts = ["127.0.0.1", ray.nodes()[0]["NodeManagerAddress"]]


def page():
    for host in hosts:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            pass
    return ""


# What says who counted, not what.
OF_PROCESS = re.compile(r"(otel_scope_\w+|SessionName|WorkerId|NodeAddress|Version|JobId|Component|NodeId)$")
for _ in range(120):
    text = page()
    if "mine_in_task" in text and "mine_sizes_count" in text and 'route="/x"' in text:
        break
    time.sleep(0.5)
counted = set()
for line in text.splitlines():
    if "mine_requests" in line or "mine_sizes" in line or "mine_in_task" in line:
        if line.startswith("#"):
            counted.add(line)
            continue
        name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
        if name.endswith("_sum"):
            continue  # Ray's is made of the middles of the buckets
        own = sorted(p for p in re.findall(r'(\w+)="([^"]*)"', labels or "") if not OF_PROCESS.match(p[0]))
        counted.add(f"{name} {own} {float(value)}")
for line in sorted(counted):
    print(line)
one = next(line for line in text.splitlines() if line.startswith("ray_mine_requests_total{"))
print([name for name in ("Component", "NodeAddress", "SessionName", "Version", "WorkerId") if name + "=" in one])
print(re.findall(r'(?:Component|Version)="[^"]*"', one))
