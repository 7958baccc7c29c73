# SPDX-License-Identifier: Apache-2.0
"""A way through which TCP connections go, and on which they can be cut or silenced."""
import contextlib
import random
import socket
import struct
import threading
import time


class Way:
    """One connection: two sockets and a thread for each direction."""

    def __init__(self, near, far, silent=False, rate=None):
        self.sockets = near, far
        self.silent, self.over, self.rate = silent, False, rate
        self.lock = threading.Lock()
        for source, target in ((near, far), (far, near)):
            threading.Thread(target=self.pump, args=(source, target), daemon=True).start()

    def pump(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536 if not self.rate else 4096):
                if self.rate:
                    time.sleep(len(data) / self.rate)
                if not self.silent:
                    target.sendall(data)
        if not self.silent:  # else neither side hears of the other's end
            self.close()

    def close(self, reset=False):
        with self.lock:
            if self.over:
                return
            self.over = True
        for end in self.sockets:
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD)  # wakes its pump
            end.close()


class Proxy:
    """Listens at `address` for `target`, until it is closed; lets `rate` bytes a second through."""

    def __init__(self, address, target, rate=None):
        self.target, self.rate, self.ways, self.dark = target, rate, [], False
        self.listener = socket.create_server(address, backlog=64)
        if rate:  # before it is connected, or what is under way is megabytes
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                try:
                    far = self.dial()
                except OSError:
                    near.close()
                    continue
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.ways = [way for way in self.ways if not way.over] + [Way(near, far, self.dark, self.rate)]

    def dial(self):
        far = socket.socket()
        if self.rate:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        far.connect(self.target)
        return far

    def some(self, choice: random.Random):
        alive = [way for way in self.ways if not way.over and not way.silent]
        return choice.choice(alive) if alive else None

    def cut(self, choice):
        """Both sides get a reset; what was on its way is lost."""
        way = self.some(choice)
        if way:
            way.close(reset=True)
        return way is not None

    def silence(self, choice):
        """Nothing comes through any more, and nobody is told."""
        way = self.some(choice)
        if way:
            way.silent = True
        return way is not None

    def darken(self):
        """Nothing comes through, on connections to come neither."""
        self.dark = True
        for way in self.ways:
            way.silent = True

    def close(self):
        self.listener.close()
        for way in self.ways:
            way.close()
