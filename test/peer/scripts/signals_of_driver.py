# SPDX-License-Identifier: Apache-2.0
"""Signals reach the driver while it waits: handlers run, and what they raise is raised."""
import os
import signal
import threading
import time

import ray
from _show import Report

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(num_cpus=0)
def slow(seconds):
    time.sleep(seconds)
    return seconds


seen = []


def notes(signum, frame):
    seen.append(signal.Signals(signum).name)


def within(call):
    signal.signal(signal.SIGALRM, notes)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    started = time.monotonic()
    try:
        return call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        report.print("    at once", time.monotonic() - started < 15)


report.show("a handler that returns", lambda: within(lambda: ray.get(slow.remote(1))))
report.show("and of a wait", lambda: within(lambda: len(ray.wait([slow.remote(1)])[0])))
report.print(seen)


def interrupted(call):
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    try:
        return call()
    except KeyboardInterrupt:
        return "interrupted", time.monotonic() - started < 30


late = slow.remote(100)
report.show("get", lambda: interrupted(lambda: ray.get(late)))
report.show("get with a time", lambda: interrupted(lambda: ray.get([late], timeout=90)))
report.show("wait", lambda: interrupted(lambda: ray.wait([late])))
report.print(ray.get(slow.remote(0)), signal.getsignal(signal.SIGINT) is signal.default_int_handler)
report.end()
