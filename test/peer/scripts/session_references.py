# SPDX-License-Identifier: Apache-2.0
"""References of an earlier session, and those that were made by hand."""
import ray
from _show import show

ray.init(num_cpus=1, log_to_driver=False)


@ray.remote
def f(x=0):
    return x


@ray.remote
class A:
    def __init__(self, x=0):
        pass

    def m(self, x=0):
        return x


# The next session numbers its objects from the first on: these are none of them.
print(ray.get([ray.put(0), ray.put(0), f.remote(), f.remote()]))
old = {"put": ray.put(1), "large": ray.put(bytes(1_000_000)), "result": f.remote(2)}
print(len(ray.get(list(old.values()))))
ray.shutdown()
ray.init(num_cpus=1, log_to_driver=False)
made = ray.ObjectRef.from_random()
names = {ref.hex(): name.upper() for name, ref in [*old.items(), ("made", made)]}


def named(use):
    """What `use` says, with names for ids."""

    def renamed(text):
        for number, name in names.items():
            text = text.replace(number, name)
        return text

    def run():
        try:
            return renamed(repr(use()))
        except Exception as e:
            raise type(e)(renamed(str(e))) from None

    return run


for name, ref in old.items():
    show(f"get {name}", named(lambda: ray.get(ref, timeout=30)))
ref, ok = old["put"], ray.put(3)
names[ok.hex()] = "OK"
show("get several", named(lambda: ray.get([ok, ref, old["large"]], timeout=30)))
show("wait", named(lambda: ray.wait([ref], timeout=1)))
show("wait for several", named(lambda: ray.wait([ok, ref], num_returns=2, timeout=1)))
a = A.remote()
for name, ref in [("old", ref), ("made", made)]:
    show(f"argument, {name}", named(lambda: f.remote(ref)))
    show(f"argument inside, {name}", named(lambda: f.remote([ref])))
    show(f"argument of a method, {name}", named(lambda: a.m.remote(x=ref)))
    show(f"argument of an actor, {name}", named(lambda: A.remote(ref)))
    show(f"put, {name}", named(lambda: ray.put([ref])))
    show(f"cancel, {name}", named(lambda: ray.cancel(ref)))
print(ray.get([ok, f.remote(4), a.m.remote(5)]))
