# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

@ray.remote
class A:
    def m(self):
        pass


bad = [
    dict(foo=1), dict(num_cpus="1"), dict(num_cpus=-1), dict(max_restarts=-2), dict(max_restarts="a"),
    dict(max_task_retries=-2), dict(max_concurrency=-1), dict(max_concurrency="a"),
    dict(max_pending_calls=-2), dict(lifetime="long"), dict(lifetime=1), dict(name=1), dict(namespace=1),
    dict(get_if_exists=True), dict(get_if_exists=1), dict(concurrency_groups={"a": 1}),
    dict(concurrency_groups=1), dict(num_returns=2), dict(max_calls=1), dict(retry_exceptions=True),
    dict(allow_out_of_order_execution=1), dict(resources={"CPU": 1}), dict(runtime_env=1),
    dict(_actor_generator_backpressure_num_objects=0), dict(scheduling_strategy=1),
]
for options in bad:
    show(f"options {options}", lambda: A.options(**options) and None)

    class B:
        pass

    show(f"remote {options}", lambda: ray.remote(**options)(B) and None)
show("direct call", lambda: A())


def subclass():
    class C(A):
        pass


show("subclass", subclass)
print(A.m.__name__)
show("method options", lambda: ray.method(foo=1))
show("method positional", lambda: ray.method(1, 2))
show("method num_returns", lambda: ray.method(num_returns=-1)(lambda self: 1))
show("method streaming", lambda: ray.method(num_returns="streaming")(lambda self: 1))
