# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import numpy as np

ray.init(num_cpus=2)


@ray.remote
def double(x):
    return x * 2, x.flags.writeable


for array in (np.arange(10), np.zeros((300, 300)), np.arange(100000, dtype=np.int8).reshape(100, 1000).T):
    back = ray.get(ray.put(array))
    print(back.dtype, back.shape, back.flags.writeable, back.flags.owndata, np.array_equal(back, array))
    twice, writeable = ray.get(double.remote(array))
    print(writeable, np.array_equal(twice, array * 2), twice.flags.writeable)
a = ray.get(ray.put([np.ones(200000), {"x": np.zeros(5)}]))
print(a[0].sum(), a[1]["x"].sum())
try:
    a[0][0] = 5
except ValueError as e:
    print(e)
del a
print(ray.get(ray.put(np.float64(3.5))), ray.get(ray.put(np.array(["a", None], dtype=object))))
