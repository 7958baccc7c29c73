# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os
import tempfile
import time

report = Report()
ray.init(num_cpus=2, log_to_driver=False)
folder = tempfile.mkdtemp()


def wait_for(condition):
    deadline = time.time() + 30
    while not condition() and time.time() < deadline:
        time.sleep(0.05)
    return condition()


def gone(name):
    def check():
        try:
            ray.get_actor(name)
        except ValueError:
            return True
        return False

    return wait_for(check)


@ray.remote(num_cpus=0)
class A:
    def __init__(self, path=None):
        self.path = path

    def slow(self, i):
        time.sleep(0.1)
        with open(self.path, "a") as f:
            f.write(str(i))
        return i

    def m(self):
        return 1

    def keep(self, handle):
        self.handle = handle[0]

    def use(self):
        return ray.get(self.handle.m.remote())

    def drop(self):
        self.handle = None


path = os.path.join(folder, "log")
a = A.options(name="a").remote(path)
refs = [a.slow.remote(i) for i in range(5)]
del a
report.print(ray.get(refs), open(path).read(), gone("a"))
a = A.options(name="fire").remote(path + "2")
for i in range(3):
    a.slow.remote(i)
del a
report.print(wait_for(lambda: os.path.exists(path + "2") and len(open(path + "2").read()) == 3))
report.print(gone("fire"))
keeper = A.remote()
b = A.options(name="b").remote()
ray.get(keeper.keep.remote([b]))
del b
time.sleep(0.5)
report.print(ray.get(keeper.use.remote()), ray.get(ray.get_actor("b").m.remote()))
ray.get(keeper.drop.remote())
report.print(gone("b"))


@ray.remote
def calls(handle):
    return ray.get(handle.m.remote())


c = A.options(name="c").remote()
ref = calls.remote(c)
del c
report.print(ray.get(ref), gone("c"))
d = A.options(name="d").remote()
inside = ray.put([d])
del d
time.sleep(0.3)
report.print(ray.get(ray.get(inside)[0].m.remote()))
del inside
report.print(gone("d"))
e = A.options(name="e", lifetime="detached").remote()
ray.get(e.m.remote())
del e
time.sleep(0.3)
e = ray.get_actor("e")
report.print(ray.get(e.m.remote()))
ray.kill(e)
report.print(gone("e"))
report.end()
