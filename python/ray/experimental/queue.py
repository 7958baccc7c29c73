# SPDX-License-Identifier: Apache-2.0
"""Under the old name of ray.util.queue."""
import warnings

from ray.util.queue import Empty, Full, Queue

warnings.warn(
    "ray.experimental.queue has been moved to ray.util.queue. Please update your import path.",
    DeprecationWarning,
    stacklevel=2,
)

__all__ = ["Empty", "Full", "Queue"]
