# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import time

ray.init(num_cpus=1, log_to_driver=False)


@ray.remote(max_pending_calls=2)
class A:
    def m(self):
        time.sleep(5)


a = A.remote()
refs = [a.m.remote(), a.m.remote()]
show("third", lambda: a.m.remote())
