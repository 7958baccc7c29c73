# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=1, log_to_driver=False)
show("again", lambda: ray.init())
c = ray.init(ignore_reinit_error=True)
print(type(c).__name__, ray.is_initialized())


@ray.remote
def f():
    return 1


@ray.remote
class A:
    def m(self):
        return 2


a = A.remote()
print(ray.get(f.remote()), ray.get(a.m.remote()))
ray.shutdown()
ray.shutdown()
print(ray.is_initialized())
ray.init(num_cpus=1, log_to_driver=False)
print(ray.get(f.remote()), ray.get(A.remote().m.remote()), ray.get_runtime_context().get_job_id())
try:
    ray.get(a.m.remote())
except Exception:
    print("a stale handle raises")
try:
    ray.kill(a)
except ray.exceptions.ActorHandleNotFoundError as e:
    print(isinstance(e, ValueError))
