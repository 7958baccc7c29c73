# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys

import ray
from ray.util import list_named_actors

ray.init(num_cpus=2, log_to_driver=False, namespace="shared")
OTHER = """
import ray
ray.init(address="auto", namespace="shared", log_to_driver=False)

@ray.remote(num_cpus=0)
class A:
    def get(self):
        return "answer"

kept = A.options(name="kept", lifetime="detached").remote()
lost = A.options(name="lost").remote()
print(ray.get([kept.get.remote(), lost.get.remote()]))
print(ray.get_runtime_context().get_job_id())
mine = ray.get_actor("mine")
print(ray.get(mine.get.remote()))
"""


@ray.remote(num_cpus=0)
class Mine:
    def get(self):
        return "of the first driver"


mine = Mine.options(name="mine").remote()
ray.get(mine.get.remote())
address = ray.get_runtime_context().gcs_address
environment = {**os.environ, "RAY_ADDRESS": address}
result = subprocess.run([sys.executable, "-c", OTHER], env=environment, capture_output=True, text=True)
print(result.returncode, result.stdout.strip())
for _ in range(300):
    names = sorted(list_named_actors())
    if "lost" not in names:
        break
    import time

    time.sleep(0.1)
print(names, ray.get(ray.get_actor("kept").get.remote()))
