# SPDX-License-Identifier: Apache-2.0
import ray


@ray.remote
def f(x):
    return x + 1


@ray.remote
class A:
    def m(self):
        return "m"


def session():
    ray.init(num_cpus=2, log_to_driver=False)
    a = A.remote()
    values = ray.get([f.remote(1), a.m.remote()])
    job = ray.get_runtime_context().get_job_id()
    ray.shutdown(wait_for_processes=True)
    return values, job


first = session()
print(first)
second = session()
print(second)
ray.init(num_cpus=1, log_to_driver=False)
print(ray.get(f.remote(2)))
