# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import numpy as np
from ray.cluster_utils import Cluster

report = Report()
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
ray.init(address=cluster.address, log_to_driver=False)
node = cluster.add_node(num_cpus=2, resources={"there": 4})
cluster.wait_for_nodes()


@ray.remote(resources={"there": 1}, max_retries=0)
def once():
    return np.ones(300000)


@ray.remote(resources={"there": 1}, max_retries=1)
def twice():
    return np.ones(300000)


@ray.remote(resources={"there": 1})
class Actor:
    def makes(self):
        return np.ones(300000)


def fails(label, ref):
    try:
        report.print(label, ray.get(ref, timeout=30).shape)
    except ray.exceptions.RayError as e:
        report.print(label, [c.__name__ for c in type(e).__mro__][:4])
        report.print(str(e).replace(ref.hex(), "REF"))


a, b = once.remote(), twice.remote()
actor = Actor.remote()
c = actor.makes.remote()
ray.wait([a, b, c], num_returns=3, fetch_local=False)
cluster.remove_node(node, allow_graceful=False)
node = cluster.add_node(num_cpus=2, resources={"there": 4})
fails("once", a)
fails("twice", b)
fails("actor", c)
del actor
d = twice.remote()
ray.wait([d], fetch_local=False)
cluster.remove_node(node, allow_graceful=False)
node = cluster.add_node(num_cpus=2, resources={"there": 4})
ray.wait([d], fetch_local=False, timeout=30)
report.print(ray.get(d, timeout=30).shape)
report.end()
