# SPDX-License-Identifier: Apache-2.0
import functools
import io
import os
import sys
import time

os.environ["RAY_COLOR_PREFIX"] = "0"
os.environ["RAY_DEDUP_LOGS_AGG_WINDOW_S"] = "2"
import ray

ray.init(num_cpus=2)
out, sys.stdout = sys.stdout, io.StringIO()


@ray.remote(num_cpus=0)
class Speaker:
    def ready(self):
        pass

    def say(self, number):
        print(f"the same words {number}")
        print(f"only {number}" if number == 0 else f"other{number} text{number}")


speakers = [Speaker.remote() for _ in range(4)]
ray.get([s.ready.remote() for s in speakers])
ray.get([s.say.remote(i) for i, s in enumerate(speakers)])
time.sleep(3.5)
ray.get(speakers[0].say.remote(9))
for _ in range(60):
    text = sys.stdout.getvalue()
    if "repeated" in text:
        break
    time.sleep(0.1)
out_line = functools.partial(print, file=out)  # what workers said comes to sys.stdout, also late
out_line("=== begin")
same = [line for line in text.splitlines() if "same words" in line]
out_line(len([line for line in same if "repeated" not in line]) >= 1)
out_line([line.split("[")[1].split("]")[0] for line in same if "repeated" in line][:1])
out_line(any("(Ray deduplicates logs by default." in line for line in same))
out_line("=== end")
