# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import os

ray.init(num_cpus=2, runtime_env={"env_vars": {"JOB": "1", "BOTH": "job"}}, log_to_driver=False)


@ray.remote
def env():
    return os.environ.get("JOB"), os.environ.get("BOTH"), os.environ.get("TASK")


@ray.remote
class A:
    def env(self):
        return os.environ.get("JOB"), os.environ.get("BOTH"), os.environ.get("TASK")


print(ray.get(env.remote()))
special = {"env_vars": {"TASK": "2", "BOTH": "task"}}
print(ray.get(env.options(runtime_env=special).remote()))
print(ray.get(env.remote()))
print(ray.get(A.options(runtime_env=special).remote().env.remote()), ray.get(A.remote().env.remote()))
show("bad value", lambda: env.options(runtime_env={"env_vars": {"A": 1}}).remote())
