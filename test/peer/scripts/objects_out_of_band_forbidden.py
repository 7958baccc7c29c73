# SPDX-License-Identifier: Apache-2.0
import os

os.environ["RAY_allow_out_of_band_object_ref_serialization"] = "0"
import ray
import ray.cloudpickle as cloudpickle

ray.init(num_cpus=2, log_to_driver=False)
r = ray.put(1)


def text(function):
    try:
        return function()
    except Exception as e:
        return type(e).__name__, str(e).replace(r.hex(), "REF").splitlines()[0]


print(text(lambda: cloudpickle.dumps(r) and 1))


@ray.remote
def inside(box):
    return ray.get(box[0])


print(text(lambda: ray.get(inside.remote([r]))))
print(text(lambda: ray.get(ray.put([r]))[0] == r))
