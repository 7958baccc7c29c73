# SPDX-License-Identifier: Apache-2.0
"""Times `import ray`, ray.init() and the first task in this process, then the idle head's memory:
PSS of all processes that were started, without this one, and how soon a new worker answers. Prints
JSON."""
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


def memory(pid, *fields):
    """The sum of those fields of the process's memory, in bytes; 0 when it is gone."""
    try:
        lines = [line.split() for line in open(f"/proc/{pid}/smaps_rollup")]
    except OSError:
        return 0
    return sum(int(line[1]) * 1024 for line in lines if line[0].rstrip(":") in fields)


def pss(pid):
    return memory(pid, "Pss")


def threads(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def role(pid):
    """What a process of ours is: a daemon, the zygote, an idle worker."""
    try:
        words = open(f"/proc/{pid}/cmdline").read().split("\0")
    except OSError:
        return None
    if words[0].rsplit("/", 1)[-1] == "mobula":
        return "daemon"
    if any("ray._private.zygote" in word for word in words):
        return "zygote"
    return "worker" if words[0].startswith("ray::") else None


def by_role(pids):
    """The idle head's parts, where the processes are ours."""
    parts = {pid: role(pid) for pid in pids}
    daemons = [pid for pid in pids if parts[pid] == "daemon"]
    workers = [pid for pid in pids if parts[pid] == "worker"]
    if not daemons:
        return {}
    private = [memory(pid, "Private_Clean", "Private_Dirty") for pid in workers]
    return {"daemons_pss": sum(map(pss, daemons)), "daemon_threads": sum(map(threads, daemons)),
            "zygote_pss": sum(pss(pid) for pid in pids if parts[pid] == "zygote"),
            "worker_private": max(private, default=None)}


def worker_start(ray, count=20):
    """From asking for an actor to its first answer, once the workers kept ready are taken."""
    @ray.remote(num_cpus=0)
    class Actor:
        def here(self):
            return 1

    times, actors = [], []
    for _ in range(count + 4):
        start = time.perf_counter()
        actors.append(Actor.remote())
        ray.get(actors[-1].here.remote())
        times.append(time.perf_counter() - start)
    return sorted(times[4:])[count // 2]


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
                      "processes": len(pids), "threads": sum(map(threads, pids)),
                      **by_role(pids), "worker_start": worker_start(ray)}))
    sys.stdout.flush()
    ray.shutdown()


if __name__ == "__main__":
    main()
