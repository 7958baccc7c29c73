# SPDX-License-Identifier: Apache-2.0
"""joblib's multiprocessing backend with ray's Pool."""
from joblib._parallel_backends import MultiprocessingBackend

import ray
from ray.util.multiprocessing.pool import Pool


class RayBackend(MultiprocessingBackend):
    def __init__(self, nesting_level=None, inner_max_num_threads=None, ray_remote_args=None, **kw):
        super().__init__(
            nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads, **kw
        )
        self.ray_remote_args = ray_remote_args

    def effective_n_jobs(self, n_jobs):
        """-1: all CPUs of the cluster."""
        if n_jobs == -1:
            if not ray.is_initialized():
                ray.init()
            return int(ray.cluster_resources().get("CPU", 1))
        return super().effective_n_jobs(n_jobs)

    def configure(self, n_jobs=1, parallel=None, prefer=None, require=None, **pool_args):
        n_jobs = self.effective_n_jobs(n_jobs)
        self._pool = Pool(n_jobs, ray_remote_args=self.ray_remote_args)
        self.parallel = parallel
        return n_jobs

    def terminate(self):
        if getattr(self, "_pool", None) is not None:
            self._pool.close()
            self._pool.terminate()
            self._pool = None
