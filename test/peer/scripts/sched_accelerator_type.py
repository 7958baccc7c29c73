import ray

ray.init(num_cpus=2, num_gpus=1, resources={"accelerator_type:A100": 1}, log_to_driver=False)


@ray.remote(accelerator_type="A100")
def f():
    return sorted(ray.get_runtime_context().get_assigned_resources().items())


@ray.remote(accelerator_type="A100")
class A:
    def m(self):
        return sorted(ray.get_runtime_context().get_assigned_resources().items())


print(ray.get(f.remote()))
a = A.remote()
print(ray.get(a.m.remote()))
print(ray.wait([f.options(accelerator_type="T4").remote()], timeout=1)[0])
from ray.util import accelerators

print(accelerators.NVIDIA_A100, accelerators.NVIDIA_TESLA_T4, accelerators.GOOGLE_TPU_V4)
