# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import os
import tempfile

report = Report()
ray.init(num_cpus=2, log_to_driver=False)
folder = tempfile.mkdtemp()


def count(name):
    path = os.path.join(folder, name)
    with open(path, "a") as f:
        f.write("x")
    return os.path.getsize(path)


def tries(name):
    return os.path.getsize(os.path.join(folder, name))


class Base(Exception):
    pass


class Derived(Base):
    pass


@ray.remote
def raises(name, kind):
    count(name)
    raise kind(name)


@ray.remote
def crashes(name):
    count(name)
    os._exit(1)


def run(name, function, *args):
    try:
        ray.get(function.remote(name, *args))
    except Exception as e:
        report.print(name, type(e).__name__, tries(name))


run("default", raises, ValueError)
run("true", raises.options(retry_exceptions=True, max_retries=1), ValueError)
run("derived", raises.options(retry_exceptions=[Base], max_retries=2), Derived)
run("base", raises.options(retry_exceptions=[Derived], max_retries=2), Base)
run("several", raises.options(retry_exceptions=[KeyError, Base], max_retries=1), Base)
run("none", raises.options(retry_exceptions=[], max_retries=2), ValueError)
run("no retries", raises.options(retry_exceptions=True, max_retries=0), ValueError)
run("crash 0", crashes.options(max_retries=0))
run("crash 1", crashes.options(max_retries=1))
run("crash and exceptions", crashes.options(max_retries=1, retry_exceptions=[ValueError]))
os.environ["RAY_TASK_MAX_RETRIES"] = "1"
run("crash env", crashes)
report.show("tuple", lambda: raises.options(retry_exceptions=(ValueError,)) and None)
report.show("word", lambda: raises.options(retry_exceptions="x"))
report.show("instances", lambda: raises.options(retry_exceptions=[1]))


@ray.remote(max_retries=-1)
def third_time(name):
    if count(name) < 6:
        os._exit(1)
    return "ok"


report.print(ray.get(third_time.remote("infinite")), tries("infinite"))


@ray.remote
class A:
    @ray.method(max_task_retries=2, retry_exceptions=True)
    def raises(self, name):
        if count(name) < 3:
            raise ValueError(name)
        return "done"

    @ray.method(retry_exceptions=[KeyError], max_task_retries=1)
    def listed(self, name, kind):
        count(name)
        raise kind(name)

    def plain(self, name):
        count(name)
        raise ValueError(name)


a = A.remote()
report.print(ray.get(a.raises.remote("actor")), tries("actor"))
for name, kind in (("listed", KeyError), ("not listed", ValueError)):
    try:
        ray.get(a.listed.remote(name, kind))
    except Exception as e:
        report.print(name, type(e).__name__, tries(name))
for name, options in (
    ("plain", {}),
    ("call", dict(retry_exceptions=True, max_task_retries=2)),
    ("only exceptions", dict(retry_exceptions=True)),
):
    try:
        ray.get(a.plain.options(**options).remote(name))
    except ValueError:
        report.print(name, tries(name))
report.end()
