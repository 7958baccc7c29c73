# SPDX-License-Identifier: Apache-2.0
"""Whose CPU time a row takes: the driver's, the workers', the daemons'; in user code and in the kernel."""
import os

TICK = 1 / os.sysconf("SC_CLK_TCK")


def _role(pid):
    """What a process of this run is, or None."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as text:
            if os.environ["BENCH_MARK"].encode() not in text.read():
                return None
        with open(f"/proc/{pid}/cmdline") as text:
            words = text.read().split("\0")
    except (OSError, KeyError):
        return None
    if words[0].rsplit("/", 1)[-1] == "mobula":
        return words[1]
    return "workers" if words[0].startswith("ray::") else "others"


def _times(pid):
    try:
        with open(f"/proc/{pid}/stat") as text:
            fields = text.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0, 0.0
    return int(fields[11]) * TICK, int(fields[12]) * TICK


def now():
    """{pid: (role, user seconds, kernel seconds)}"""
    found = {os.getpid(): ("driver", *_times("self"))}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        role = pid not in found and _role(pid)
        if role:
            found[pid] = (role, *_times(pid))
    return found


def between(before, after, count):
    """{role: [user, kernel]} in microseconds each of `count`."""
    sums = {}
    for pid, (role, user, kernel) in after.items():
        _, user0, kernel0 = before.get(pid, (role, 0.0, 0.0))
        into = sums.setdefault(role, [0.0, 0.0])
        into[0] += (user - user0) / count * 1e6
        into[1] += (kernel - kernel0) / count * 1e6
    return sums
