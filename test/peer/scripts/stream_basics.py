# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def numbers(n):
    for i in range(n):
        yield i


@ray.remote(num_returns="streaming")
def big(n):
    for i in range(n):
        yield bytes([i]) * 200_000


gen = numbers.remote(4)
print(type(gen).__name__, type(gen).__module__, iter(gen) is gen)
refs = [next(gen)]
print(type(refs[0]).__name__, ray.get(refs[0]))
refs += list(gen)
print(ray.get(refs), [ref.hex()[-8:] for ref in refs], gen.completed().hex()[-8:])
show("after the end", lambda: next(gen))
print(ray.get(gen.completed()), gen.is_finished(), gen.next_ready())
print([len(ray.get(ref)) for ref in big.remote(3)])
print(list(numbers.remote(0)))
print([ray.get(ref) for ref in numbers.options(num_returns="streaming").remote(2)])


@ray.remote
def consume(n):
    return [ray.get(ref) for ref in numbers.remote(n)]


print(ray.get(consume.remote(3)))
print(ray.get(gen) is gen)
nothing = ray.ObjectRef.nil()
print(nothing.is_nil())
