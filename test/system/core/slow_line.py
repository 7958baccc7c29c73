# SPDX-License-Identifier: Apache-2.0
"""A slow line between two network namespaces: IP packets between their TUN devices come late, and
some never. `slow_line.py ONE OTHER SECONDS LOSS BITS`, until it is killed.

(What `tc netem` would do; its module is not everywhere.)"""
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

QUEUE = 0.5  # seconds of what waits for the line; more is dropped
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000


def device(namespace):
    """A TUN device called `line` in the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    assert libc.setns(there, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"line", IFF_TUN | IFF_NO_PI))
    assert libc.setns(home, CLONE_NEWNET) == 0
    return fd


class Direction:
    def __init__(self, source, target, delay, loss, rate):
        self.source, self.target = source, target
        self.delay, self.loss, self.rate, self.free_at = delay, loss, rate, 0.0

    def take(self, now):
        """When the packet that is there arrives, and it; None: never."""
        packet = os.read(self.source, 65536)
        start = max(now, self.free_at)
        if random.random() < self.loss or start - now > QUEUE:
            return None
        self.free_at = start + len(packet) * 8 / self.rate
        return self.free_at + self.delay, packet


def main():
    one, other = device(sys.argv[1]), device(sys.argv[2])
    shape = [float(word) for word in sys.argv[3:6]]
    directions = {one: Direction(one, other, *shape), other: Direction(other, one, *shape)}
    under_way, count = [], 0
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            _, _, target, packet = heapq.heappop(under_way)
            try:
                os.write(target, packet)
            except OSError:
                pass  # its device is not up
        wait = max(under_way[0][0] - now, 0) if under_way else None
        for source in select.select(list(directions), [], [], wait)[0]:
            arrival = directions[source].take(time.monotonic())
            if arrival:
                count += 1
                heapq.heappush(under_way, (arrival[0], count, directions[source].target,
                                           arrival[1]))


if __name__ == "__main__":
    main()
