# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import threading

@ray.remote
def f():
    pass


bad = [
    dict(foo=1), dict(num_cpus="1"), dict(num_cpus=-1), dict(num_cpus=0.00001), dict(num_gpus=-2),
    dict(memory=-1), dict(memory="1"), dict(resources={"CPU": 1}), dict(resources={"GPU": 1}),
    dict(resources={"a": -1}), dict(resources=[1]), dict(resources={"a": 0.00001}),
    dict(num_returns=-1), dict(num_returns="some"), dict(num_returns=1.5), dict(max_retries=-2),
    dict(max_retries="1"), dict(retry_exceptions=3), dict(retry_exceptions=[3]),
    dict(retry_exceptions=[int]), dict(name=3), dict(runtime_env=3), dict(max_calls=1),
    dict(object_store_memory=1), dict(label_selector={"a b": "c"}), dict(label_selector={"a": "c d"}),
    dict(label_selector={"a": "in(x,y"}), dict(label_selector=3), dict(fallback_strategy=[1]),
    dict(fallback_strategy=[{}]), dict(fallback_strategy=[{"x": 1}]),
    dict(fallback_strategy=[{"label_selector": 1}]), dict(scheduling_strategy=3),
    dict(accelerator_type=3), dict(_labels=3), dict(enable_task_events=3), dict(lifetime="detached"),
    dict(num_returns="streaming"), dict(_generator_backpressure_num_objects=0),
    dict(_num_objects_per_yield=2), dict(placement_group=3), dict(placement_group_bundle_index="a"),
]
for options in bad:
    show(f"options {options}", lambda: f.options(**options) and None)
    show(f"remote {options}", lambda: ray.remote(**options)(lambda: 1) and None)
show("direct call", lambda: f())
for label, call in [
    ("nothing", lambda: ray.remote()),
    ("a number", lambda: ray.remote(3)),
    ("positional and keyword", lambda: ray.remote(lambda: 1, num_cpus=1)),
    ("an object", lambda: ray.remote(num_cpus=1)(3)),
    ("a callable object", lambda: ray.remote(threading.Event().set)),
]:
    show(label, call)


async def coroutine():
    pass


show("async", lambda: ray.remote(coroutine))
