# SPDX-License-Identifier: Apache-2.0
"""Names for `accelerator_type`."""
from ray.util.accelerators.accelerators import *  # noqa: F401,F403


def __getattr__(name):
    if name == "NVIDIA_TESLA_A100":
        import warnings

        from ray.util.accelerators.accelerators import NVIDIA_A100
        from ray.util.annotations import RayDeprecationWarning

        warnings.warn(
            "NVIDIA_TESLA_A100 is deprecated, use NVIDIA_A100 instead.",
            RayDeprecationWarning,
            stacklevel=2,
        )
        return NVIDIA_A100
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
