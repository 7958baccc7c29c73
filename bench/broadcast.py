# SPDX-License-Identifier: Apache-2.0
"""A value of 256 MB from one node to four, all on this machine: seconds until all have it when they ask at
once, and when they ask one after the other. Prints a line of JSON. Runs with either `ray`."""
import json
import statistics
import sys
import time

import numpy
import ray
from ray.cluster_utils import Cluster

NODES, BYTES, TURNS = 4, 256 << 20, 5


def main():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for i in range(NODES):
        cluster.add_node(num_cpus=1, resources={f"n{i}": 1})
    ray.init(address=cluster.address, logging_level="error", log_to_driver=False)

    @ray.remote(num_cpus=0)
    class Reader:
        def ready(self):
            return 1

        def read(self, refs):
            return ray.get(refs[0]).nbytes

    readers = [Reader.options(resources={f"n{i}": 0.1}).remote() for i in range(NODES)]
    ray.get([reader.ready.remote() for reader in readers])
    at_once, in_turn = [], []
    for turn in range(2 * TURNS):
        ref = ray.put(numpy.full(BYTES, turn, dtype=numpy.uint8))
        start = time.perf_counter()
        if turn % 2:
            ray.get([reader.read.remote([ref]) for reader in readers])
        else:
            for reader in readers:
                ray.get(reader.read.remote([ref]))
        (at_once if turn % 2 else in_turn).append(time.perf_counter() - start)
        del ref
    print(json.dumps({"row": "broadcast", "nodes": NODES, "bytes": BYTES,
                      "at_once_s": statistics.median(at_once), "in_turn_s": statistics.median(in_turn),
                      "best_s": min(at_once)}))
    sys.stdout.flush()
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
