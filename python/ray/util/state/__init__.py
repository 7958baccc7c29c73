# SPDX-License-Identifier: Apache-2.0
"""What runs in the cluster: list_actors(), get_node(), summarize_actors(), ..."""
from ray.util.state.api import (
    get_actor,
    get_node,
    get_placement_group,
    list_actors,
    list_nodes,
    list_placement_groups,
    summarize_actors,
)

__all__ = [
    "get_actor",
    "get_node",
    "get_placement_group",
    "list_actors",
    "list_nodes",
    "list_placement_groups",
    "summarize_actors",
]


def __getattr__(name):
    kind, _, what = name.partition("_")
    if kind in ("list", "get", "summarize") and what:

        def missing(*args, **kwargs):
            raise NotImplementedError(f"ray.util.state.{name}() is not supported by Mobula yet.")

        return missing
    raise AttributeError(f"module 'ray.util.state' has no attribute {name!r}")
