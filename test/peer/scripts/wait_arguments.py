# SPDX-License-Identifier: Apache-2.0
"""ray.wait and ray.get: what they take for references, counts and times."""
import collections

import numpy
import ray
from _show import Report

report = Report()
ray.init(num_cpus=2, log_to_driver=False)
refs = [ray.put(i) for i in range(3)]


@ray.remote(num_cpus=0)
def never():
    import time

    time.sleep(1000)


@ray.remote(num_cpus=0)
def fails():
    raise ValueError("no")


@ray.remote(num_cpus=0)
def stream():
    yield 1
    yield 2


def waited(*words, **more):
    ready, rest = ray.wait(*words, **more)
    return len(ready), [ref for ref in words[0] if ref in rest] == rest


slow = never.remote()
for label, call in (
    ("one", lambda: waited(refs[0])),
    ("a set", lambda: waited(set(refs[:1]))),
    ("a dict", lambda: waited({refs[0]: 1})),
    ("keys", lambda: waited({refs[0]: 1}.keys())),
    ("a generator", lambda: waited(r for r in refs)),
    ("a deque", lambda: waited(collections.deque(refs))),
    ("an array", lambda: waited(numpy.array(refs[:1], dtype=object))),
    ("text", lambda: waited("refs")),
    ("None", lambda: waited(None)),
    ("a nested list", lambda: waited([refs])),
    ("an exception", lambda: waited([fails.remote()])),
    ("num_returns 1.0", lambda: waited(refs, num_returns=1.0)),
    ("num_returns 1.5", lambda: waited(refs, num_returns=1.5)),
    ("num_returns True", lambda: waited(refs, num_returns=True)),
    ("num_returns '1'", lambda: waited(refs, num_returns="1")),
    ("num_returns None", lambda: waited(refs, num_returns=None)),
    ("num_returns -1", lambda: waited(refs, num_returns=-1)),
    ("timeout '1'", lambda: waited(refs, timeout="1")),
    ("timeout None", lambda: waited(refs, timeout=None)),
    ("timeout 0.0", lambda: waited([slow, refs[1]], num_returns=2, timeout=0.0)),
    ("timeout numpy", lambda: waited([slow], timeout=numpy.float32(0.01))),
    ("timeout True", lambda: waited(refs, timeout=True)),
    ("fetch_local None", lambda: waited(refs, fetch_local=None)),
    ("fetch_local 5", lambda: waited(refs, fetch_local=5)),
    ("positional", lambda: waited(refs, 1)),
    ("unknown", lambda: waited(refs, nonsense=1)),
    ("an actor", lambda: waited([waited])),
    ("order", lambda: waited([refs[2], slow, refs[0]], num_returns=2)),
    ("a stream", lambda: [len(part) for part in ray.wait([stream.remote()])]),
    ("get of a set", lambda: ray.get(set(refs))),
    ("get of a dict", lambda: ray.get({"a": refs[0]})),
    ("get of a generator", lambda: ray.get(r for r in refs)),
    ("get of text", lambda: ray.get("refs")),
    ("get of an array", lambda: ray.get(numpy.array(refs, dtype=object))),
    ("get of a nested list", lambda: ray.get([refs])),
    ("get of mixed", lambda: ray.get([refs[0], 5])),
    ("get of a stream", lambda: ray.get(stream.remote())),
    ("get of a subclass", lambda: ray.get(type("List", (list,), {})(refs))),
    ("get, timeout True", lambda: ray.get(refs, timeout=True)),
    ("get, timeout -0.5", lambda: ray.get(refs, timeout=-0.5)),
    ("get, one of them late", lambda: ray.get([*refs, slow], timeout=0.05)),
    ("get, one of them fails, one late", lambda: ray.get([slow, fails.remote()], timeout=5)),
    ("get, unknown", lambda: ray.get(refs, nonsense=1)),
    ("get, positional", lambda: ray.get(refs, 1)),
    ("put of nothing", lambda: ray.put()),
    ("put, unknown", lambda: ray.put(1, nonsense=1)),
    ("put, an owner", lambda: ray.put(1, _owner=5)),
):
    report.show(label, call)
report.end()
