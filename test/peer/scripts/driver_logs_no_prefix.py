# SPDX-License-Identifier: Apache-2.0
import functools
import io
import os
import sys
import time

os.environ["RAY_DISABLE_WORKER_LOG_PREFIX"] = "1"
import ray

ray.init(num_cpus=2)
out, sys.stdout = sys.stdout, io.StringIO()


@ray.remote
def f(i):
    print("line", i)
    print("   indented", i)
    print()
    print("end")


ray.get(f.remote(0))
for _ in range(100):
    if sys.stdout.getvalue().count("end") >= 1:
        break
    time.sleep(0.1)
text = sys.stdout.getvalue()
out_line = functools.partial(print, file=out)  # what workers said comes to sys.stdout, also late
out_line("=== begin")
for line in sorted(text.splitlines()):
    out_line(repr(line))
out_line("=== end")
