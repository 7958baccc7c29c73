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


@ray.remote(resources={"there": 1}, max_retries=2)
def makes(i):
    return np.full(300000, i)


@ray.remote(resources={"there": 1})
def adds(x, y):
    return x + y


@ray.remote(num_cpus=1)
def reads(x):
    return int(x.sum())


@ray.remote
def reads_inside(box):
    return int(ray.get(box[0]).sum())


a, b = makes.remote(1), makes.remote(2)
c = adds.remote(a, b)
ray.wait([a, b, c], num_returns=3, fetch_local=False)
del b
cluster.remove_node(node, allow_graceful=False)
node = cluster.add_node(num_cpus=2, resources={"there": 4})
report.print(int(ray.get(c, timeout=60).sum()))
report.print(ray.get(reads.remote(a), timeout=60), ray.get(reads_inside.remote([a]), timeout=60))
ray.wait([makes.remote(3)], fetch_local=False)
cluster.remove_node(node, allow_graceful=False)
node = cluster.add_node(num_cpus=2, resources={"there": 4})
report.print(ray.get(reads_inside.remote([c]), timeout=60))
report.end()
