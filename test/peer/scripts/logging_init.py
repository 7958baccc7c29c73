# SPDX-License-Identifier: Apache-2.0
import logging

import ray
from _show import show

show("unknown level", lambda: ray.init(num_cpus=1, logging_level="loud"))
show("no level", lambda: ray.init(num_cpus=1, logging_level=None))
ray.init(num_cpus=1, log_to_driver=False, logging_level="warning", logging_format="%(levelname)s|%(message)s")
logger = logging.getLogger("ray")
print(logger.level, logger.propagate, [(type(h).__name__, h.formatter._fmt) for h in logger.handlers])


@ray.remote
def f():
    logger = logging.getLogger("ray")
    return logger.level, logging.getLogger().level


print(ray.get(f.remote()))
ray.shutdown()
logging.getLogger("ray").setLevel(logging.CRITICAL)
ray.init(num_cpus=1, log_to_driver=False, configure_logging=False, logging_level="debug")
print(logging.getLogger("ray").level, ray.get(f.remote()))
