# SPDX-License-Identifier: Apache-2.0
"""growth.py ROW [SIZE]: what a lot of something costs here, at a tenth, a third and all of SIZE, so that more than
linear growth shows. Prints a line of JSON a size: seconds, bytes of this process and of the others' an item.
Actors are as many as the machine has room for; `why` says what bounds their number."""
import json
import os
import resource
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


def workers():
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line, open(f"/proc/{pid}/environ", "rb") as text:
                found += line.read(5) == b"ray::" and os.environ["BENCH_MARK"].encode() in text.read()
        except OSError:
            continue
    return found


def actors(count):
    @ray.remote(num_cpus=0)
    class Actor:
        def m(self):
            return None

    before, begin = others(), time.perf_counter()
    handles = [Actor.remote() for _ in range(count)]
    ray.get([a.m.remote() for a in handles])
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "others_bytes": (others() - before) / count}


ACTOR = {"memory": 3.5e6, "processes": 2, "descriptors": 4, "mappings": 4}  # what one takes: of the raylet's, or in all
SPARE = {"memory": 0.15, "processes": 0.1, "descriptors": 0.1, "mappings": 0.1}  # this share is left


def number_of(path, otherwise):
    try:
        with open(path) as text:
            return int(text.read())
    except (OSError, ValueError):  # no such limit, or "max"
        return otherwise


def has_room_for(size):
    """(how many actors this machine has room for, at most `size`; what bounds them)"""
    with open("/proc/meminfo") as text:
        memory = next(int(line.split()[1]) * 1024 for line in text if line.startswith("MemAvailable:"))
    cgroup = number_of("/sys/fs/cgroup/memory.max", memory) - number_of("/sys/fs/cgroup/memory.current", 0)
    running = sum(name.isdigit() for name in os.listdir("/proc"))
    threads = min(number_of("/proc/sys/kernel/pid_max", 32768), number_of("/proc/sys/kernel/threads-max", 32768),
                  number_of("/sys/fs/cgroup/pids.max", 1 << 22))
    users = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    free = {
        "memory": min(memory, cgroup),
        "processes": min(threads, threads if users == resource.RLIM_INFINITY else users) - 2 * running,
        "descriptors": min(65536, 65536 if files == resource.RLIM_INFINITY else files),  # as ray.init() sets it
        "mappings": number_of("/proc/sys/vm/max_map_count", 65530),
    }
    room = {what: int(free[what] * (1 - SPARE[what]) / ACTOR[what]) for what in ACTOR}
    least = min(room, key=room.get)
    if room[least] >= size:
        return size, f"{size:,} is the goal"
    return room[least], f"{least}: {free[least]:,}, of which an actor takes {ACTOR[least]:,.0f}"


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
    "actors": (actors, 10_000),
    "placement_groups": (placement_groups, 1_000),
    "objects_in_get": (objects_in_get, 10_000),
    "wait_refs": (wait_refs, 100_000),
}


def main():
    os.environ.setdefault("BENCH_MARK", f"growth-{os.getpid()}")
    run, size = ROWS[sys.argv[1]]
    size = int(sys.argv[2]) if len(sys.argv) > 2 else size
    why = {}
    if sys.argv[1] == "actors":
        size, why["why"] = has_room_for(size)
    ray.init(num_cpus=2, resources={"thing": 1000}, logging_level="error")
    ray.get([nothing.remote() for _ in range(100)])
    for part in (10, 3, 1):
        count = size // part
        told = why if part == 1 else {}
        print(json.dumps({"row": sys.argv[1], "count": count, **run(count), **told}), flush=True)
        while why and part > 1 and workers() > 2:  # the next size begins on an empty machine; idle ones are kept
            time.sleep(0.1)
    ray.shutdown()


main()
