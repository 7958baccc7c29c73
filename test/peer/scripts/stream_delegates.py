# SPDX-License-Identifier: Apache-2.0
import ray

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def delegates():
    yield from inner()
    yield 5


def inner():
    got = yield 3
    yield type(got).__name__


@ray.remote(_num_objects_per_yield=2)
def pairs(n):
    for i in range(n):
        yield i, -i


def outcome(gen):
    values = []
    for ref in gen:
        try:
            values.append(ray.get(ref))
        except Exception as e:
            values.append(type(e).__name__)
    return values


print(outcome(delegates.remote()), outcome(pairs.remote(3)))
