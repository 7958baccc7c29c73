# SPDX-License-Identifier: Apache-2.0
import ray

ray.init(num_cpus=1, log_to_driver=False)


class Pickles:
    count = 0

    def __reduce__(self):
        Pickles.count += 1
        return Pickles, ()


marker = Pickles()


@ray.remote
def f(i):
    return [i, type(marker).__name__]


@ray.remote
class A:
    def m(self):
        return type(marker).__name__


print(ray.get([f.remote(i) for i in range(3)]), Pickles.count)
print(ray.get([f.options(num_cpus=0).remote(1) for _ in range(2)]), Pickles.count)
actors = [A.options(num_cpus=0).remote() for _ in range(3)]
print(ray.get([a.m.remote() for a in actors]), Pickles.count)


@ray.remote
def nested():
    return ray.get([f.options(num_cpus=0).remote(i) for i in range(2)])


print(ray.get(nested.remote()))


def g():
    return 1


h = ray.remote(g)


@ray.remote
def redefined():
    return "first"


one = redefined.remote()


@ray.remote
def redefined():
    return "second"


print(ray.get([one, redefined.remote()]), ray.get(h.remote()))
value = 1


@ray.remote
def reads():
    return value


print(ray.get(reads.remote()))
value = 2
print(ray.get(reads.remote()))
