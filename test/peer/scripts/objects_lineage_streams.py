# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os
import tempfile
import time

import numpy as np
from ray.cluster_utils import Cluster

report = Report()
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
ray.init(address=cluster.address, log_to_driver=False)
node = cluster.add_node(num_cpus=2, resources={"there": 8})
cluster.wait_for_nodes()
folder = tempfile.mkdtemp()


def runs(name):
    return os.path.getsize(os.path.join(folder, name))


def numbers(name, counts):
    """How many it yields depends on how often it has run."""
    with open(os.path.join(folder, name), "a") as f:
        f.write("x")
    for i in range(counts[min(runs(name), len(counts)) - 1]):
        yield np.full(300000, i)


@ray.remote(num_cpus=0, resources={"there": 1}, max_retries=3)
def stream(name, counts):
    yield from numbers(name, counts)


@ray.remote(num_cpus=0, resources={"there": 1}, max_restarts=-1, max_task_retries=-1)
class Actor:
    def stream(self, name, counts):
        yield from numbers(name, counts)


def read(name, refs):
    try:
        report.print(name, [int(x[0]) for x in ray.get(refs, timeout=120)], "ran", runs(name))
    except ray.exceptions.RayError as e:
        report.print(name, [c.__name__ for c in type(e).__mro__][:4])
        report.print(str(e).split("\n")[-1])


same, once = stream.remote("same", [4]), stream.options(max_retries=0).remote("once", [2])
fewer, more = stream.remote("fewer", [3, 2]), stream.remote("more", [3, 4])
half, actor = stream.remote("half", [3]), Actor.remote()
method = actor.stream.remote("method", [3])
lists = {name: list(g) for name, g in [("same", same), ("once", once), ("fewer", fewer),
                                       ("more", more), ("method", method)]}
del same, method  # what was yielded is enough to make it again
first = next(half)
ray.get(half.completed())
cluster.remove_node(node, allow_graceful=False)
node = cluster.add_node(num_cpus=2, resources={"there": 8})
read("same", lists["same"])
read("once", lists["once"])
read("method", lists["method"])
read("half", list(half) + [first])
for name in ("fewer", "more"):
    try:  # what comes before it turns out to be another number may be had for a moment
        ray.get(lists[name], timeout=120)
    except ray.exceptions.RayError:
        pass
    time.sleep(1)
    for ref in lists[name]:
        read(name, [ref])
    report.print(name, "ran", runs(name))
report.print(ray.get([fewer.completed(), more.completed()]))
report.end()
