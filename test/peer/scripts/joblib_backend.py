# SPDX-License-Identifier: Apache-2.0
import joblib

import ray
from _show import show
from ray.util.joblib import register_ray

ray.init(num_cpus=2, log_to_driver=False)
show("before", lambda: joblib.parallel_backend("ray"))
register_ray()
register_ray()


def square(x):
    return x * x


def fail(x):
    raise ValueError(f"no {x}")


def where(x):
    return ray.get_runtime_context().get_actor_id() is not None


with joblib.parallel_backend("ray", ray_remote_args=dict(num_cpus=0.5)):
    print(joblib.effective_n_jobs(-1), joblib.effective_n_jobs(1), joblib.effective_n_jobs(3))
    with joblib.Parallel(n_jobs=2) as parallel:
        print(parallel(joblib.delayed(square)(i) for i in range(10)))
        print(all(parallel(joblib.delayed(where)(i) for i in range(3))))
        print(parallel(joblib.delayed(len)([0] * n) for n in (10, 100000)))
        try:
            parallel(joblib.delayed(fail)(i) for i in range(2))
        except Exception as e:
            print(isinstance(e, ValueError), "no " in str(e))
with joblib.parallel_config(backend="ray", n_jobs=1):
    print(joblib.Parallel()(joblib.delayed(square)(i) for i in range(3)))
