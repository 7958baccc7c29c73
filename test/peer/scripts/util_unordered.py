# SPDX-License-Identifier: Apache-2.0
import time

import ray
from ray.util import as_completed, map_unordered

ray.init(num_cpus=4, log_to_driver=False)


@ray.remote(num_cpus=0)
def double(x):
    time.sleep(0.6 if x == 0 else 0)
    return 2 * x


ray.get([double.remote(1) for _ in range(4)])
print(list(as_completed([double.remote(i) for i in range(4)], chunk_size=1))[-1])
print(sorted(as_completed([double.remote(i) for i in range(4)], chunk_size=4)))
print(sorted(map_unordered(double, range(4))))
print(sorted(map_unordered(double, range(9), backpressure_size=2)))


@ray.remote(num_cpus=0)
def fail(x):
    if x == 2:
        raise ValueError("two")
    return x


got, errors = [], 0
results = as_completed([fail.remote(i) for i in range(4)])
while True:
    try:
        got.append(next(results))
    except ValueError:
        errors += 1
        break
    except StopIteration:
        break
print(errors)
