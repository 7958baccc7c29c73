# SPDX-License-Identifier: Apache-2.0
import io
import os
import sys
import time

os.environ["RAY_COLOR_PREFIX"] = "1"
os.environ["RAY_DEDUP_LOGS"] = "0"
import ray

ray.init(num_cpus=2)
out, sys.stdout = sys.stdout, io.StringIO()
err, sys.stderr = sys.stderr, io.StringIO()


@ray.remote
def f(text):
    print(text)
    print("to stderr", file=sys.stderr)


@ray.remote
class Actor:
    def m(self):
        print("\033[31mred\033[0m of its own")


ray.get(f.remote("hello"))
ray.get(f.options(name="called").remote("of a name"))
a = Actor.options(name="named").remote()
ray.get(a.m.remote())


def both():
    return sys.stdout.getvalue() + sys.stderr.getvalue()


for _ in range(100):
    if both().count("\n") >= 5:
        break
    time.sleep(0.1)
texts = sys.stdout.getvalue(), sys.stderr.getvalue()
sys.stdout, sys.stderr = out, err
import re

RAINBOW = (35, 36, 32, 90, 94, 95)  # a process has one of these, by its number


def shown(line):
    """Escapes as text, and a prefix's colour as whether it is the one of that process."""
    prefix = re.match(r"\x1b\[(\d+)m\((.*)pid=(\d+)\)", line)
    if prefix:
        right = int(prefix[1]) == RAINBOW[int(prefix[3]) % len(RAINBOW)]
        line = f"COLOUR {right} ({prefix[2]}pid=PID)" + line[prefix.end() :]
    return line.replace("\x1b[", "ESC[")


print("=== begin")
for name, text in zip(("stdout", "stderr"), texts):
    for line in sorted(map(shown, text.splitlines())):
        if "to stderr" in line or "hello" in line or "of a name" in line or "of its own" in line:
            print(name, line)
print("=== end")
