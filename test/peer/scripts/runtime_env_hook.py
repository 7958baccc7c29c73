# SPDX-License-Identifier: Apache-2.0
import os

import ray
from _show import Report

report = Report()


def hook():
    os.environ["HOOKED"] = "yes"


def bad_hook():
    raise ValueError("the hook's")


ray.init(num_cpus=2, log_to_driver=False, runtime_env={"worker_process_setup_hook": hook, "env_vars": {"A": "1"}})


@ray.remote
def look():
    return os.environ.get("HOOKED"), os.environ.get("A")


@ray.remote
class Actor:
    def look(self):
        return look._function()


report.print(ray.get(look.remote()), os.environ.get("HOOKED"))
actor = Actor.remote()
report.print(ray.get(actor.look.remote()))
report.show("of a task", lambda: look.options(runtime_env={"worker_process_setup_hook": hook}).remote() and None)
ray.shutdown()
report.show("a lambda", lambda: ray.init(num_cpus=1, log_to_driver=False, runtime_env={"worker_process_setup_hook": lambda: None}) and None)
ray.shutdown()
report.show("not callable", lambda: ray.init(num_cpus=1, log_to_driver=False, runtime_env={"worker_process_setup_hook": 5}) and None)
ray.shutdown()
report.end()
