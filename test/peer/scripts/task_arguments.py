# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2)


@ray.remote
def f(a, b=2, *args, c=3, **kw):
    return a, b, args, c, kw


@ray.remote
def only(a, /, b, *, c):
    return a, b, c


print(ray.get(f.remote(1)))
print(ray.get(f.remote(1, 2, 3, 4, c=5, d=6)))
print(ray.get(f.remote(b=1, a=2)))
print(ray.get(only.remote(1, b=2, c=3)))
for label, call in [
    ("nothing", lambda: f.remote()),
    ("twice", lambda: f.remote(1, a=1)),
    ("unknown", lambda: only.remote(1, 2, c=3, d=4)),
    ("too many", lambda: only.remote(1, 2, 3, c=1)),
    ("keyword-only", lambda: only.remote(1, 2)),
    ("positional-only", lambda: only.remote(a=1, b=2, c=3)),
]:
    show(label, call)
values = [None, True, 0, -1, 2**62, 2**70, 1.5, float("inf"), "", "é", "\ud800", b"", b"x" * 10]
values += [(), (1, (2,)), [], [1, [2]], {}, {"a": {1: None}}, {1, 2}, frozenset([1]), 1 + 2j, range(3)]
values += [b"y" * 200000, "z" * 200000, list(range(5000)), ..., int, len]
for value in values:
    back = ray.get(f.remote(value))[0]
    assert back == value and type(back) is type(value), (value, back)
same = [[1]]
a, b = ray.get(f.remote((same, same)))[0]
print(a is b)
loop = []
loop.append(loop)
back = ray.get(f.remote(loop))[0]
print(back[0] is back)
