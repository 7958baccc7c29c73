# SPDX-License-Identifier: Apache-2.0


import os

os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
import ray  # noqa: E402
from _show import show  # noqa: E402


@ray.remote
def f():
    return 1


@ray.remote
class A:
    pass


for label, call in [
    ("task", lambda: f.remote()), ("actor", lambda: A.remote()), ("put", lambda: ray.put(1)),
    ("get", lambda: ray.get(1)), ("wait", lambda: ray.wait([])), ("get_actor", lambda: ray.get_actor("a")),
    ("kill", lambda: ray.kill(1)), ("cancel", lambda: ray.cancel(1)), ("nodes", lambda: ray.nodes()),
]:
    show(label, call)
