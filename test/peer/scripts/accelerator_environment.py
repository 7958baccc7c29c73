# SPDX-License-Identifier: Apache-2.0
import os

os.environ["CUDA_VISIBLE_DEVICES"] = "4,6"
import ray
from _show import show

ray.init(num_cpus=4, log_to_driver=False)
print(ray.cluster_resources().get("GPU"))


@ray.remote
def seen():
    return os.environ.get("OMP_NUM_THREADS"), os.environ.get("CUDA_VISIBLE_DEVICES"), ray.get_gpu_ids()


@ray.remote
class Holder:
    def seen(self):
        return seen._function()


print(ray.get(seen.remote()))
print(ray.get(seen.options(num_cpus=2).remote()), ray.get(seen.options(num_cpus=0.5).remote()))
print(ray.get(seen.options(num_cpus=0).remote())[0])
print(ray.get(seen.options(runtime_env={"env_vars": {"OMP_NUM_THREADS": "7"}}).remote())[0])
print(ray.get(Holder.remote().seen.remote())[0], ray.get(Holder.options(num_cpus=3).remote().seen.remote())[0])
ray.shutdown()
ray.init(num_cpus=4, num_gpus=2, log_to_driver=False)
both = Holder.options(num_gpus=2).remote()
_, visible, ids = ray.get(both.seen.remote())
print(sorted(visible.split(",")), sorted(ids))
print(ray.get(seen.remote()))
del both
ray.shutdown()
os.environ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"] = "1"
ray.init(num_cpus=2, num_gpus=1, log_to_driver=False)
print(ray.get(seen.options(num_gpus=1).remote())[1])
ray.shutdown()
show("more than visible", lambda: ray.init(num_cpus=1, num_gpus=3, log_to_driver=False) and None)
