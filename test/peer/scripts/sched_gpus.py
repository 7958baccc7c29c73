import os

import ray
from _show import show

ray.init(num_cpus=4, num_gpus=3, log_to_driver=False)


@ray.remote(num_gpus=1, max_calls=0)
def one():
    context = ray.get_runtime_context()
    return len(ray.get_gpu_ids()), len(context.get_accelerator_ids()["GPU"]), os.environ.get("CUDA_VISIBLE_DEVICES") == ",".join(context.get_accelerator_ids()["GPU"])


@ray.remote
def none():
    return ray.get_gpu_ids(), ray.get_runtime_context().get_accelerator_ids()["GPU"], os.environ.get("CUDA_VISIBLE_DEVICES")


@ray.remote(num_gpus=0)
def zero():
    return ray.get_gpu_ids(), os.environ.get("CUDA_VISIBLE_DEVICES")


@ray.remote
class Holder:
    def ids(self):
        return sorted(ray.get_gpu_ids()), os.environ.get("CUDA_VISIBLE_DEVICES")

    def assigned(self):
        return sorted(ray.get_runtime_context().get_assigned_resources().items())


print(ray.get(one.remote()))
print(ray.get(none.remote()))
print(ray.get(zero.remote()))
print(ray.get_gpu_ids(), ray.get_runtime_context().get_accelerator_ids()["GPU"])
two = Holder.options(num_gpus=2).remote()
ids, visible = ray.get(two.ids.remote())
print(len(ids), len(set(ids)), sorted(visible.split(",")) == [str(i) for i in ids])
print(ray.get(two.assigned.remote()))
halves = [Holder.options(num_gpus=0.5).remote() for _ in range(2)]
shared = ray.get([half.ids.remote() for half in halves])
print(shared[0] == shared[1], len(shared[0][0]), set(shared[0][0]).isdisjoint(ids))
print(ray.get(halves[0].assigned.remote()))
plain = Holder.remote()
print(ray.get(plain.ids.remote()), ray.get(plain.assigned.remote()))
print(sorted(ray.get_runtime_context().get_accelerator_ids()))
