# SPDX-License-Identifier: Apache-2.0
import functools
import io
import os
import sys
import time

os.environ["RAY_COLOR_PREFIX"] = "0"
os.environ["RAY_DEDUP_LOGS"] = "0"
import ray

ray.init(num_cpus=2)
out, sys.stdout = sys.stdout, io.StringIO()


@ray.remote
def f():
    print("from a task")
    print("two\nlines")


@ray.remote
class Plain:
    def m(self):
        print("from an actor")


@ray.remote
class Named:
    def __repr__(self):
        return "Named(7)"

    def m(self):
        print("from a named one")


ray.get(f.remote())
a, b = Plain.remote(), Named.remote()
ray.get([a.m.remote(), b.m.remote()])
for _ in range(100):
    text = sys.stdout.getvalue()
    if text.count("\n") >= 5:
        break
    time.sleep(0.1)
out_line = functools.partial(print, file=out)  # what workers said comes to sys.stdout, also late
out_line("=== begin")
for line in sorted(text.splitlines()):
    out_line(line)
out_line("=== end")
