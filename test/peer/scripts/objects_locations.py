# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import numpy as np
from ray.experimental import get_local_object_locations, get_object_locations

show("before init", lambda: get_object_locations([]))
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def small():
    return 1


@ray.remote
def large():
    return np.zeros(300000)


@ray.remote
def owns():
    return [ray.put(np.zeros(200000))]


def tell(label, refs, get=get_object_locations):
    here = ray.get_runtime_context().get_node_id()
    for ref in refs:
        place = get([ref])[ref]
        size = place["object_size"]
        print(label, sorted(place), [n == here for n in place["node_ids"]], size if size is None else size > 100000, place["did_spill"])


a, b, c = small.remote(), large.remote(), ray.put(np.zeros(300000))
ray.wait([a, b], num_returns=2)
tell("task", [a, b])
tell("put", [c])
tell("local", [a, b, c], get_local_object_locations)
box = owns.remote()
inner = ray.get(box)[0]
tell("borrowed", [inner])
print(len(get_object_locations([a, b, c])))
