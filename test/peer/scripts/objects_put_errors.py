# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import threading

ray.init(num_cpus=2, log_to_driver=False)


@ray.remote
class Owner:
    def f(self):
        return 1


class Bad:
    def __reduce__(self):
        raise RuntimeError("no pickle of me")


class Worse:
    def __reduce__(self):
        return self.fails, ()

    @staticmethod
    def fails():
        raise KeyError("no unpickle of me")


show("reference", lambda: ray.put(ray.put(1)))
show("owner", lambda: ray.put(1, _owner=Owner.remote()))
show("positional", lambda: ray.put(1, 2))
show("nothing", lambda: ray.put())
for value in (threading.Lock(), Bad(), (x for x in [1])):
    try:
        ray.put([value])
    except Exception as e:
        print(type(e).__name__, str(e).splitlines()[0].split("<")[0], type(e.__cause__).__name__)
try:
    ray.get(ray.put(Worse()))
except Exception as e:
    print([c.__name__ for c in type(e).__mro__][:4])
    print(str(e).splitlines()[0], "no unpickle of me" in str(e))
show("put None", lambda: ray.get(ray.put(None)))
show("put twice", lambda: ray.get([ray.put(b""), ray.put("")]))
