# SPDX-License-Identifier: Apache-2.0
import ray
from _show import Report

import sys

report = Report()
ray.init(num_cpus=2, log_to_driver=False)


@ray.remote(max_retries=0)
def leaves(code):
    sys.exit(code)


@ray.remote(max_retries=0)
def raises(kind):
    raise kind("x")


class Own(BaseException):
    pass


@ray.remote
def fine():
    return "fine"


def outcome(label, function):
    try:
        report.print(label, function())
    except BaseException as e:
        report.print(label, type(e).__name__)


outcome("exit 0", lambda: ray.get(leaves.remote(0)))
outcome("exit 3", lambda: ray.get(leaves.remote(3)))
outcome("exit text", lambda: ray.get(leaves.remote("text")))
outcome("interrupt", lambda: ray.get(raises.remote(KeyboardInterrupt)))
outcome("fine", lambda: ray.get(fine.remote()))
report.end()
