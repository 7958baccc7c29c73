# SPDX-License-Identifier: Apache-2.0
"""growth.py ROW [SIZE]: what a lot of something costs here, at a tenth, a third and all of SIZE, so that more than
linear growth shows. Prints a line of JSON a size: seconds, bytes of this process and of the others' an item."""
import json
import os
import sys
import time

import ray


def pss(pid="self"):
    with open(f"/proc/{pid}/smaps_rollup") as text:
        return sum(int(line.split()[1]) for line in text if line.startswith("Pss:")) * 1024


def others():
    """PSS of the processes that this run started."""
    total, mark = 0, os.environ["BENCH_MARK"].encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as text:
                if int(pid) != os.getpid() and mark in text.read():
                    total += pss(pid)
        except OSError:
            continue
    return total


@ray.remote
def nothing():
    return None


@ray.remote
def blocked(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def queued_tasks(count):
    """Calls that wait for a worker, then run."""
    path = f"/tmp/growth-{os.getpid()}-{count}"
    gate = [blocked.remote(path) for _ in range(2)]
    before, begin = pss(), time.perf_counter()
    refs = [nothing.remote() for _ in range(count)]
    submitted = time.perf_counter() - begin
    held = pss() - before
    open(path, "w").close()
    ray.get(refs)
    end = time.perf_counter() - begin
    ray.get(gate)
    os.unlink(path)
    return {"submit_s": submitted, "seconds": end, "submitter_bytes": held / count}


def actors(count):
    @ray.remote(num_cpus=0)
    class Actor:
        def m(self):
            return None

    before, begin = others(), time.perf_counter()
    handles = [Actor.remote() for _ in range(count)]
    ray.get([a.m.remote() for a in handles])
    return {"seconds": time.perf_counter() - begin, "others_bytes": (others() - before) / count}


def placement_groups(count):
    from ray.util.placement_group import placement_group, remove_placement_group

    before, begin = others(), time.perf_counter()
    groups = [placement_group([{"thing": 0.001}]) for _ in range(count)]
    ray.get([group.ready() for group in groups])
    result = {"seconds": time.perf_counter() - begin, "others_bytes": (others() - before) / count}
    for group in groups:
        remove_placement_group(group)
    return result


def objects_in_get(count):
    refs = [ray.put(i) for i in range(count)]
    begin = time.perf_counter()
    assert len(ray.get(refs)) == count
    return {"seconds": time.perf_counter() - begin}


def wait_refs(count):
    refs = [nothing.remote() for _ in range(count)]
    begin = time.perf_counter()
    ready, _ = ray.wait(refs, num_returns=count)
    assert len(ready) == count
    return {"seconds": time.perf_counter() - begin}


ROWS = {  # row: (function, size)
    "queued_tasks": (queued_tasks, 1_000_000),
    "actors": (actors, 1_000),
    "placement_groups": (placement_groups, 1_000),
    "objects_in_get": (objects_in_get, 10_000),
    "wait_refs": (wait_refs, 100_000),
}


def main():
    os.environ.setdefault("BENCH_MARK", f"growth-{os.getpid()}")
    run, size = ROWS[sys.argv[1]]
    size = int(sys.argv[2]) if len(sys.argv) > 2 else size
    ray.init(num_cpus=2, resources={"thing": 1000}, logging_level="error")
    ray.get([nothing.remote() for _ in range(100)])
    for part in (10, 3, 1):
        count = size // part
        print(json.dumps({"row": sys.argv[1], "count": count, **run(count)}), flush=True)
    ray.shutdown()


main()
