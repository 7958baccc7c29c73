# SPDX-License-Identifier: Apache-2.0
"""Under the old name of ray.util.state."""
import warnings

from ray.util.state import *  # noqa: F401,F403

warnings.warn(
    "Ray state API is no longer experimental. Please import from `ray.util.state` instead.",
    DeprecationWarning,
    stacklevel=2,
)
