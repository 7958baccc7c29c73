# SPDX-License-Identifier: Apache-2.0
import io
import os
import sys

import ray
from _show import show
from ray.experimental import tqdm_ray

ray.init(num_cpus=1, log_to_driver=False)
print(tqdm_ray.RAY_TQDM_MAGIC, callable(tqdm_ray.safe_print))


@ray.remote
def work(n):
    import json

    out, sys.stdout = sys.stdout, io.StringIO()
    try:
        bar = tqdm_ray.tqdm(total=n, desc="of a task", flush_interval_s=0)
        for _ in range(n):
            bar.update(1)
        bar.set_description("other")
        bar.refresh()
        bar.close()
        text = sys.stdout.getvalue()
    finally:
        sys.stdout = out
    states = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return sorted(states[0]), [(s["desc"], s["x"], s["total"], s["closed"], s["unit"]) for s in states]


@ray.remote
def iterated():
    return list(tqdm_ray.tqdm([1, 2, 3]))


print(ray.get(work.remote(2)))
print(ray.get(iterated.remote()))
print(list(tqdm_ray.tqdm(iter("ab"), total=2)))
show("no unit", lambda: tqdm_ray.tqdm(3, desc="x") and None)
err, sys.stderr = sys.stderr, io.StringIO()
tqdm_ray.safe_print("said", file=sys.stderr)
said, sys.stderr = sys.stderr.getvalue(), err
print(repr(said))
