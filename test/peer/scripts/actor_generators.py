# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(_actor_generator_backpressure_num_objects=2)
class A:
    def __init__(self):
        self.made = 0

    def numbers(self, n):
        for i in range(n):
            self.made += 1
            yield i

    @ray.method(num_returns="streaming", _generator_backpressure_num_objects=1)
    def declared(self):
        yield from range(3)

    async def coroutine(self):
        return 1


show("class option", lambda: A.remote() and None)


@ray.remote
class Plain:
    def numbers(self, n):
        for i in range(n):
            yield i

    @ray.method(num_returns=2)
    def two(self):
        yield 1
        yield 2


a = Plain.remote()
print([ray.get(r) for r in a.numbers.remote(3)])
print([ray.get(r) for r in a.numbers.options(num_returns="streaming").remote(2)])
print(ray.get(a.two.remote()))
show("backpressure of a call", lambda: [ray.get(r) for r in a.numbers.options(_generator_backpressure_num_objects=1).remote(3)])
for transport in ("smoke", 3, None):
    show(f"transport {transport}", lambda: a.two.options(tensor_transport=transport) and None)
for options in (
    dict(enable_tensor_transport="x"), dict(_actor_generator_backpressure_num_objects="a"),
    dict(_actor_generator_backpressure_num_objects=-1), dict(allow_out_of_order_execution=False),
):
    show(f"class {options}", lambda: ray.remote(**options)(type("B", (), {"m": lambda self: 1})).remote() and None)
show("method", lambda: ray.method(tensor_transport="smoke")(lambda self: 1))


class Asynchronous:
    async def m(self):
        return 1


show("ordered and async", lambda: ray.remote(allow_out_of_order_execution=False)(Asynchronous).remote())
show("ordered and threads", lambda: ray.remote(allow_out_of_order_execution=False, max_concurrency=2)(type("C", (), {"m": lambda self: 1})).remote())
