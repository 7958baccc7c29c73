# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def numbers(n):
    for i in range(n):
        yield i


gen = numbers.remote(3)
refs = gen._get_next_ref_n(2)
print(ray.get(refs))
gen._consume_next_ref_n(2)
print(ray.get(next(gen)))
refs = gen._get_next_ref_n(2)
ray.wait(refs, num_returns=2)
show("beyond", lambda: ray.get(refs[0]))
show("next", lambda: next(gen))
print(gen._stream_exhausted(), gen.is_finished())
show("none", lambda: gen._get_next_ref_n(0))
show("consume none", lambda: gen._consume_next_ref_n(0))


@ray.remote
def stats():
    got = yield 1
    yield type(got).__name__
    got = yield 2
    yield got is not None


print([ray.get(r) for r in stats.remote()])
