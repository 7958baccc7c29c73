# SPDX-License-Identifier: Apache-2.0
"""What libraries ask of remote functions, actor classes, handles and methods: names, documents, signatures."""
import copy
import functools
import inspect
import pickle

import ray
from _show import show

ray.init(num_cpus=2, log_to_driver=False)


def function(a: int, b: str = "x", *rest, c: float = 1.5, **more) -> list:
    """What it does."""
    return [a, b, rest, c, more]


class Counter:
    """Counts."""

    kind = "plain"

    def __init__(self, start: int = 0):
        """Where to start."""
        self.value = start

    def add(self, by: int = 1) -> int:
        """One more."""
        self.value += by
        return self.value

    def _hidden(self):
        return "hidden"

    def __len__(self):
        return self.value

    def __call__(self, x):
        return x + self.value


remote, Remote = ray.remote(function), ray.remote(Counter)
handle = Remote.remote(5)
method = handle.add
for label, thing in ("function", remote), ("class", Remote), ("handle", handle), ("method", method):
    print(label, type(thing).__name__, type(thing).__module__, callable(thing))
    for name in ("__name__", "__qualname__", "__module__", "__wrapped__", "__annotations__", "__defaults__"):
        show("    " + name, lambda: getattr(thing, name))
    show("    is function, class, method", lambda: (inspect.isfunction(thing), inspect.isclass(thing), inspect.ismethod(thing)))
for label, thing in ("function", remote.remote), ("method", method), ("method.remote", method.remote):
    show("signature of a " + label, lambda: str(inspect.signature(thing)))
print(inspect.getdoc(remote.remote))
print([name for name in dir(handle) if not name.startswith("_")], "add" in dir(handle), "_hidden" in dir(handle))
print([name for name in dir(Remote) if not name.startswith("_")])
print([name for name in dir(remote) if not name.startswith("_")])
print(ray.get(handle._hidden.remote()), ray.get(handle.__len__.remote()), ray.get(handle.__call__.remote(1)))
show("len", lambda: len(handle))
show("call", lambda: handle(1))
show("attribute", lambda: handle.value)
show("class attribute", lambda: Remote.kind)
show("set", lambda: setattr(handle, "other", 1) or handle.other)
show("set a method", lambda: setattr(handle, "add", 1))
show("hasattr", lambda: (hasattr(handle, "add"), hasattr(handle, "nothing"), getattr(handle, "nothing", 5)))
show("is it an instance", lambda: isinstance(handle, Counter))
show("isinstance of the class", lambda: isinstance(5, Remote))
show("bool", lambda: (bool(handle), bool(Remote), bool(remote)))
show("equal", lambda: (handle == handle, handle != handle, handle == 5, Remote == Remote, remote == remote, len({handle, handle})))
show("copy", lambda: ray.get(copy.copy(handle).add.remote(0)))
show("deepcopy", lambda: ray.get(copy.deepcopy(handle).add.remote(0)))
show("deepcopy of a function", lambda: ray.get(copy.deepcopy(remote).remote(1)))
show("pickle", lambda: pickle.dumps(handle) and None)
show("pickle of a method", lambda: pickle.dumps(method) and None)
show("subclass", lambda: type("Sub", (Remote,), {}))
show("wraps", lambda: functools.wraps(remote)(lambda: 1).__name__)
show("partial", lambda: ray.get(functools.partial(remote.remote, 1)(c=2)))
show("remote partial", lambda: ray.get(ray.remote(functools.partial(function, 1)).remote(c=2)))
show("remote of remote", lambda: ray.remote(remote))
show("remote of a remote class", lambda: ray.remote(Remote))
show("remote of a method", lambda: ray.get(ray.remote(Counter(3).add).remote(4)))
show("remote of an object", lambda: ray.remote(Counter(3)))
show("remote of a handle", lambda: ray.remote(handle))
show("iterate", lambda: list(handle))
show("index", lambda: handle[0])
show("compare", lambda: handle < handle)
show("is coroutine", lambda: (inspect.iscoroutinefunction(remote), inspect.isgeneratorfunction(remote)))
