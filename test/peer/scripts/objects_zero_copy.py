# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import gc
import pickle

import numpy as np

ray.init(num_cpus=2, object_store_memory=200 * 1024 * 1024, log_to_driver=False)

ref = ray.put(np.arange(1000000, dtype=np.int64))
a, b = ray.get(ref), ray.get(ref)
where = lambda x: x.__array_interface__["data"][0]
print(where(a) == where(b), where(a) % 64, a.flags.writeable, a.flags.owndata)
for change in (lambda: a.__setitem__(0, 1), lambda: a.sort(), lambda: a.fill(0), lambda: a.setflags(write=True)):
    try:
        change()
    except ValueError as e:
        print(e)
c = a.copy()
c[0] = 7
print(c[0], a[0], c.flags.writeable)
del ref
gc.collect()
print(int(a.sum()), int(a[::-1][:3].sum()))


@ray.remote
def view(x):
    return x.flags.writeable, x.flags.owndata, int(x[5])


@ray.remote
def back(n):
    return {"first": np.full(n, 3, dtype=np.uint8), "second": np.eye(400)}


print(ray.get(view.remote(a)), ray.get(view.remote(ray.put(a))))
d = ray.get(back.remote(300000))
print(d["first"].flags.writeable, d["second"].flags.writeable, d["first"].sum(), d["second"].trace())


class Buffered:
    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Buffered, (pickle.PickleBuffer(self.data),)


e = ray.get(ray.put(Buffered(b"q" * 200000)))
print(len(e.data), bytes(memoryview(e.data)[:2]), memoryview(e.data).readonly)
f = ray.get(ray.put(Buffered(bytearray(b"w" * 200000))))
print(len(f.data), bytes(memoryview(f.data)[:2]), memoryview(f.data).readonly)
