# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

ray.init(num_cpus=2)


@ray.remote
def value_error():
    raise ValueError("boom", 1)


@ray.remote
def chained():
    try:
        1 / 0
    except ZeroDivisionError as e:
        raise KeyError("second") from e


@ray.remote
def in_context():
    try:
        1 / 0
    except ZeroDivisionError:
        raise RuntimeError("while handling")


def helper(n):
    if n:
        return helper(n - 1)
    return {}["missing"]


@ray.remote
def deep():
    return helper(2)


for f in (value_error, deep):
    show(f._function_name, lambda: ray.get(f.remote()))
# Ray cuts the first four lines off, which in a chain are the user's own; only the rest is compared.
for f in (chained, in_context):
    try:
        ray.get(f.remote())
    except Exception as e:
        print(str(e).split("\n\n", 1)[1], repr(e.cause))
try:
    ray.get(value_error.remote())
except ValueError as e:
    print(isinstance(e, ray.exceptions.RayTaskError), e.args, e.cause.args, type(e).__name__)
    print(e.cause.__class__ is ValueError)
refs = [value_error.remote(), deep.remote()]
show("list", lambda: ray.get(refs))
