# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import numpy as np

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def f(i):
    return np.full(300000, i)


refs = [f.remote(i) for i in range(10)]
ready, rest = ray.wait(refs, num_returns=10, fetch_local=False)
print(len(ready), len(rest), set(ready) == set(refs))
ready, rest = ray.wait(refs, num_returns=4, fetch_local=True)
print(len(ready), len(rest), set(ready + rest) == set(refs))
ready, rest = ray.wait(refs[::-1], num_returns=3)
print(len(ready), set(ready) <= set(refs))
for label, call in [
    ("keyword", lambda: ray.wait(refs, fetch_local="yes")[0] != []),
    ("positional", lambda: ray.wait(refs, 2)),
    ("tuple", lambda: ray.wait(tuple(refs))),
    ("one", lambda: ray.wait(refs[0])),
    ("number", lambda: ray.wait([1])),
    ("twice", lambda: ray.wait([refs[0], refs[0]])),
    ("zero", lambda: ray.wait(refs, num_returns=0)),
    ("many", lambda: ray.wait(refs, num_returns=11)),
    ("negative", lambda: ray.wait(refs, timeout=-1)),
    ("none", lambda: ray.wait([])),
    ("float", lambda: len(ray.wait(refs, timeout=0.0)[0])),
]:
    show(label, call)
