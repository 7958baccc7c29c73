# SPDX-License-Identifier: Apache-2.0
import os
import sys
import time

os.environ["RAY_DEDUP_LOGS"] = "0"
import ray  # noqa: E402

ray.init(num_cpus=1)


@ray.remote
def hello():
    print("from a task")
    print("to stderr", file=sys.stderr)
    print("partial", end="")
    print(" line")
    print("two\nlines")


@ray.remote
class A:
    def m(self):
        print("from an actor")


@ray.remote
class Named:
    def __repr__(self):
        return "Named<1>"

    def m(self):
        print("from a named one")


ray.get(hello.remote())
time.sleep(1)
ray.get(A.remote().m.remote())
time.sleep(1)
ray.get(Named.remote().m.remote())
time.sleep(1)
ray.get(hello.options(name="renamed").remote())
time.sleep(1)
print("end")
