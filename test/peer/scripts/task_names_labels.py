# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show
from ray.util import state
import os
import time

ray.init(num_cpus=2, log_to_driver=False)
os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address


@ray.remote(name="declared", _labels={"team": "a"})
def f():
    return ray.get_runtime_context().get_task_name(), ray.get_runtime_context().get_task_function_name()


@ray.remote(enable_task_events=False)
def silent():
    return 1


class Outer:
    @staticmethod
    @ray.remote
    def inner():
        return ray.get_runtime_context().get_task_name()


print(ray.get(f.remote()), ray.get(f.options(name="called").remote()), ray.get(f.options(name="").remote()))
print(ray.get(f.options(_labels={"team": "b"}).remote()))
print(ray.get(Outer.inner.remote()), ray.get(ray.remote(lambda: ray.get_runtime_context().get_task_name()).remote()))
print(ray.get(silent.remote()), ray.get(f.options(name="last", enable_task_events=True).remote()))
for _ in range(100):
    names = sorted(t.name for t in state.list_tasks() if t.state == "FINISHED")
    if "last" in names:
        break
    time.sleep(0.2)
print(names)
for options in (dict(name=1), dict(name=b"x"), dict(_labels=[]), dict(_labels={"a": 1}), dict(enable_task_events="x")):
    show(str(options), lambda: f.options(**options) and None)
show("docstring", lambda: (f.__name__, f.__doc__, f._function_name.split(".")[-1], f._function.__name__))
