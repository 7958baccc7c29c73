# SPDX-License-Identifier: Apache-2.0
from ray.autoscaler import sdk

__all__ = ["sdk"]
