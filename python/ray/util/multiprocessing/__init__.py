# SPDX-License-Identifier: Apache-2.0
"""multiprocessing.Pool over the cluster's actors."""
from multiprocessing import JoinableQueue, TimeoutError  # noqa: F401

from ray.util.multiprocessing.pool import Pool  # noqa: F401

__all__ = ["Pool", "TimeoutError", "JoinableQueue"]
