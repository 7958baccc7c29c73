# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import re
import time

ray.init(num_cpus=3, log_to_driver=False)


@ray.remote
def slow():
    time.sleep(30)


@ray.remote
class Owner:
    def large(self):
        return [ray.put("x" * 1000000)]

    def task(self):
        return [slow.remote()]


def text(e):
    return re.sub(r"`[^`]*session_[^`]*`|Logs.*|\(.*?/tmp/.*?\)", "LOGS", str(e))


for name in ("large", "task"):
    owner = Owner.remote()
    ref = ray.get(getattr(owner, name).remote())[0]
    ray.kill(owner)
    time.sleep(0.5)
    try:
        print(name, len(ray.get(ref, timeout=20)))
    except Exception as e:
        print(name, [c.__name__ for c in type(e).__mro__][:4])
        print("\n".join(text(e).replace(ref.hex(), "REF").splitlines()[:3]))
        print("exited" in str(e), e.object_ref_hex == ref.hex())


@ray.remote
def use(x):
    return x


owner = Owner.remote()
ref = ray.get(owner.task.remote())[0]
ray.kill(owner)
try:
    ray.get(use.remote(ref), timeout=20)
except Exception as e:
    print("argument", [c.__name__ for c in type(e).__mro__ if "Error" in c.__name__][:4])
ready, rest = ray.wait([ref], timeout=20)
print(len(ready), len(rest))
