# SPDX-License-Identifier: Apache-2.0
import logging
import os

os.environ["RAY_LOGGING_CONFIG_ENCODING"] = "JSON"
os.environ["RAY_LOGGER_LEVEL"] = "warning"
import ray

ray.init(num_cpus=1, log_to_driver=False)


def handlers():
    found = []
    for name in ("", "ray"):
        logger = logging.getLogger(name)
        found.append((name, logger.level, logger.propagate, [(type(h).__name__, type(h.formatter).__name__) for h in logger.handlers]))
    return found


@ray.remote
def f():
    return handlers()


print(handlers())
print(ray.get(f.remote()))
