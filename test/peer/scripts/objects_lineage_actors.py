# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os
import tempfile

import numpy as np
from ray.cluster_utils import Cluster

report = Report()
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
ray.init(address=cluster.address, log_to_driver=False)
node = cluster.add_node(num_cpus=2, resources={"there": 8})
cluster.wait_for_nodes()
folder = tempfile.mkdtemp()


@ray.remote(num_cpus=0, resources={"there": 1})
class Maker:
    def __init__(self, start):
        self.start = start

    def make(self, name, add):
        with open(os.path.join(folder, name), "a") as f:
            f.write("x")
        return np.full(300000, self.start + add)

    @ray.method(num_returns=2)
    def pair(self, name, array):
        with open(os.path.join(folder, name), "a") as f:
            f.write("x")
        return array + 1, array + 2


def read(name, *refs):
    try:
        values = [int(x[0]) for x in ray.get(list(refs), timeout=120)]
        report.print(name, values, "ran", os.path.getsize(os.path.join(folder, name)))
    except ray.exceptions.RayError as e:
        report.print(name, [c.__name__ for c in type(e).__mro__][:4])
        report.print(str(e).replace(refs[0].hex(), "REF").split("\n")[-1])


for_ever = Maker.options(max_restarts=-1, max_task_retries=-1).remote(10)
once = Maker.options(max_restarts=1, max_task_retries=1).remote(20)
never = Maker.options(max_restarts=-1, max_task_retries=0).remote(30)
mortal = Maker.options(max_restarts=0, max_task_retries=-1).remote(40)
a, b = for_ever.make.remote("a", 1), once.make.remote("b", 2)
c, d = never.make.remote("c", 3), mortal.make.remote("d", 4)
# Both of one call, made of a lost argument of another actor's.
e, f = for_ever.pair.remote("e", b)
lost = [a, b, c, d, e, f]
ray.wait(lost, num_returns=len(lost), fetch_local=False)
cluster.remove_node(node, allow_graceful=False)
node = cluster.add_node(num_cpus=2, resources={"there": 8})
read("a", a)
read("e", e, f)
read("b", b)
read("c", c)
try:
    ray.get(d, timeout=120)
except ray.exceptions.ActorDiedError as error:
    report.print("d", str(error).split("\n")[0])
report.end()
