# SPDX-License-Identifier: Apache-2.0
"""What may change: where objects are."""
from ray.experimental.dynamic_resources import set_resource  # noqa: F401
from ray.experimental.locations import (  # noqa: F401
    get_local_object_locations,
    get_object_locations,
)

__all__ = ["get_local_object_locations", "get_object_locations", "set_resource"]
