# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def f():
    return 1


@ray.remote
class A:
    def m(self):
        return 1


def outcome(call):
    try:
        return call()
    except Exception as e:
        bases = [c.__name__ for c in type(e).__mro__][:3]
        return bases, str(e).splitlines()[0][:60]


gone = {"working_dir": "gcs://_ray_pkg_0123456789abcdef.zip"}
report.print(outcome(lambda: ray.get(f.options(runtime_env=gone).remote())))
a = A.options(runtime_env=gone).remote()
report.print(outcome(lambda: ray.get(a.m.remote())))
report.print(ray.get(f.remote()))
report.print(outcome(lambda: ray.get(f.options(runtime_env={"py_modules": ["gcs://_ray_pkg_0123456789abcdef.zip"]}).remote())))
report.end()
