# SPDX-License-Identifier: Apache-2.0
"""What this machine, or the container that we are in, has to give."""
import os

_STORE_SHARE = 0.3  # of the memory that is free
_STORE_MAX = 200 * 10**9
_STORE_MIN = 75 * 1024 * 1024


def _read_number(path):
    try:
        with open(path) as file:
            text = file.read().split()
    except OSError:
        return None
    return int(text[0]) if text and text[0].lstrip("-").isdigit() else None


def _cgroup_cpus():
    """The CPU limit of the container, or None."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        quota = _read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
        period = _read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota in (None, "max", -1) or not period:
        return None
    return int(quota) / int(period)


def cpus():
    """How many CPUs a node here has."""
    count = len(os.sched_getaffinity(0))
    limit = _cgroup_cpus()
    if limit is not None and limit > 0:
        count = min(count, max(int(limit), 1) if limit >= 1 else 1)
    return count


def _memory():
    """(bytes in all, bytes that are free), of the container where it has less."""
    fields = {}
    with open("/proc/meminfo") as file:
        for line in file:
            name, value = line.split(":")
            fields[name] = int(value.split()[0]) * 1024
    total, free = fields["MemTotal"], fields.get("MemAvailable", fields["MemFree"])
    for limit_path, usage_path in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        limit, usage = _read_number(limit_path), _read_number(usage_path)
        if limit is not None and usage is not None and limit < total:
            total, free = limit, min(free, max(limit - usage, 0))
    return total, free


def memory():
    """Bytes in all."""
    return _memory()[0]


def free_memory():
    """Bytes that nobody uses."""
    return _memory()[1]


def memory_shares():
    """(bytes for tasks, bytes for the object store) by default."""
    free = free_memory()
    shared = os.statvfs("/dev/shm") if os.path.isdir("/dev/shm") else None
    room = shared.f_bavail * shared.f_frsize if shared else free
    store = int(min(free * _STORE_SHARE, room * 0.95, _STORE_MAX))
    store = max(store, _STORE_MIN)
    return max(free - store, 0), store
