# SPDX-License-Identifier: Apache-2.0
"""Under the old name of ray.util.multiprocessing."""
from multiprocessing import TimeoutError

from ray.util.multiprocessing import Pool

__all__ = ["Pool", "TimeoutError"]
