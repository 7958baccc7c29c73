# SPDX-License-Identifier: Apache-2.0
import functools
import io
import os
import sys
import time

os.environ["RAY_COLOR_PREFIX"] = "0"
os.environ["RAY_DEDUP_LOGS_ALLOW_REGEX"] = "ALLOW|always"
os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = "SKIP|never"
import ray

ray.init(num_cpus=1)
out, sys.stdout = sys.stdout, io.StringIO()


@ray.remote(num_cpus=0)
class Actor:
    def say(self, i):
        print("always, each time")
        print("never shown")
        print("the same")
        print(f"number {i} of them")
        print("ALLOW this")


actors = [Actor.remote() for _ in range(3)]
ray.get([a.__ray_ready__.remote() for a in actors])
ray.get([a.say.remote(i) for i, a in enumerate(actors)])
for _ in range(100):
    if sys.stdout.getvalue().count("ALLOW this") >= 3:
        break
    time.sleep(0.1)
ray.shutdown()  # shows what was held back
text = sys.stdout.getvalue()
out_line = functools.partial(print, file=out)  # what workers said comes to sys.stdout, also late
out_line("=== begin")
import re

text = re.sub(r"pid=\d+", "pid=PID", re.sub(r"number \d", "number N", text))
for line in sorted(text.splitlines()):
    out_line(line)
out_line("=== end")
