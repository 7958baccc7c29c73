# SPDX-License-Identifier: Apache-2.0
"""Times `import ray`, ray.init() and the first task in this process, then the idle head's memory:
PSS of all processes that were started, without this one. Prints JSON."""
import json
import os
import sys
import time


def descendants():
    """Processes of this session id or whose ancestors include us, and daemons they left behind."""
    parents, found = {}, set()
    marker = os.environ["BENCH_MARK"]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environ = open(f"/proc/{pid}/environ", "rb").read()
            parents[int(pid)] = marker.encode() in environ
        except OSError:
            continue
    found = {pid for pid, marked in parents.items() if marked and pid != os.getpid()}
    return found


def pss(pid):
    try:
        for line in open(f"/proc/{pid}/smaps_rollup"):
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def threads(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def main():
    t0 = time.perf_counter()
    import ray
    t1 = time.perf_counter()
    ray.init(num_cpus=2, logging_level="error")
    t2 = time.perf_counter()

    @ray.remote
    def first():
        return 1

    assert ray.get(first.remote()) == 1
    t3 = time.perf_counter()
    time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 5)  # until it is idle
    pids = descendants()
    print(json.dumps({"import": t1 - t0, "init": t2 - t1, "first_task": t3 - t2,
                      "start": t3 - t0, "pss": sum(map(pss, pids)),
                      "processes": len(pids), "threads": sum(map(threads, pids))}))
    sys.stdout.flush()
    ray.shutdown()


if __name__ == "__main__":
    main()
