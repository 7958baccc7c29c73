# SPDX-License-Identifier: Apache-2.0
import io
import os
import sys
import time

import ray


@ray.remote
def f():
    print("hidden")
    print("hidden too", file=sys.stderr)


def session(**options):
    out, sys.stdout = sys.stdout, io.StringIO()
    err, sys.stderr = sys.stderr, io.StringIO()
    try:
        ray.init(num_cpus=1, **options)
        ray.get(f.remote())
        for _ in range(20):
            if "hidden too" in sys.stderr.getvalue() and "hidden\n" in sys.stdout.getvalue():
                break
            time.sleep(0.1)
        return "hidden\n" in sys.stdout.getvalue(), "hidden too" in sys.stderr.getvalue()
    finally:
        ray.shutdown()
        sys.stdout, sys.stderr = out, err


print(session(log_to_driver=False))
print(session(log_to_driver=True))
print(session())
