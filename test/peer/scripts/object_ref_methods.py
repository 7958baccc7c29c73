# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import pickle

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
def f():
    return 1


@ray.remote(num_returns=3)
def three():
    return 1, 2, 3


@ray.remote
class A:
    def m(self):
        return 1


r, p = f.remote(), ray.put(1)
print(len(r.hex()), len(r.binary()), r.hex() == r.binary().hex(), r.size(), r.is_nil(), ray.ObjectRef.size())
print(r.binary()[24:], p.binary()[24:], p.task_id().hex()[:8], r.task_id().hex() == r.hex()[:48])
print([x.binary()[-4:] for x in three.remote()], len({x.task_id() for x in three.remote()}))
print(r.job_id() == ray.get_runtime_context().job_id if False else r.job_id().hex())
n = ray.ObjectRef.nil()
print(n.is_nil(), n.hex() == "f" * 56, n == ray.ObjectRef.nil(), repr(n))
same = ray.ObjectRef(r.binary())
print(same == r, hash(same) == hash(r), same is r, same in {r})
show("from_hex", lambda: ray.ObjectRef.from_hex(r.hex()) == r)
print(type(ray.ObjectRef.from_random()).__name__, ray.ObjectRef.from_random() == ray.ObjectRef.from_random())
for label, call in [
    ("short", lambda: ray.ObjectRef(b"abc")),
    ("text", lambda: ray.ObjectRef("0" * 56)),
    ("order", lambda: r < p),
    ("bool", lambda: bool(r)),
    ("len", lambda: len(r)),
    ("iter", lambda: iter(r)),
    ("getattr", lambda: r.nothing),
    ("equal to bytes", lambda: r == r.binary()),
    ("item", lambda: ray.ObjectRef[int]),
    ("call_site", lambda: r.call_site()),
    ("owner", lambda: type(r.owner_address()).__name__),
    ("tensor", lambda: r.tensor_transport()),
]:
    show(label, call)
a = A.remote()
m = a.m.remote()
print(m.task_id().actor_id() == a._actor_id, m.task_id().job_id().hex())
print(str(r) == repr(r) == "ObjectRef(%s)" % r.hex(), f"{p}"[:10])
print(r.future().result(), type(r.future()).__name__)
got = []
import threading
done = threading.Event()
p._on_completed(lambda v: (got.append(v), done.set()))
done.wait(10)
print(got)
