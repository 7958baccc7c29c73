# SPDX-License-Identifier: Apache-2.0
"""What is built on tasks, actors and objects. Each module loads at its first use."""

# Not lazily: the function has the name of its module.
from ray.util.placement_group import (
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)

_LAZY = {
    "ActorPool": "ray.util.actor_pool",
    "PublicAPI": "ray.util.annotations",
    "as_completed": "ray.util.helpers",
    "connect": "ray.util.client_connect",
    "deregister_serializer": "ray.util.serialization",
    "disable_log_once_globally": "ray.util.debug",
    "disconnect": "ray.util.client_connect",
    "enable_periodic_logging": "ray.util.debug",
    "inspect_serializability": "ray.util.check_serialize",
    "log_once": "ray.util.debug",
    "map_unordered": "ray.util.helpers",
    "register_serializer": "ray.util.serialization",
}
# Modules by other names than their own.
_MODULES = {"pdb": "ray.util.rpdb", "ray_debugpy": "ray.util.debugpy"}


def get_node_ip_address(address=None):
    """The address of this node."""
    from ray._private.address import node_ip

    return node_ip()


def get_node_instance_id():
    """The instance of the cloud that this node is."""
    import os

    return os.environ.get("RAY_CLOUD_INSTANCE_ID", "")


def list_named_actors(all_namespaces=False):
    """The names of the live named actors: of this namespace, or with theirs of all."""
    from ray import _mobula
    from ray._private.worker import auto_init, global_worker

    auto_init()
    global_worker.check_connected()
    namespace = None if all_namespaces else global_worker.namespace
    found = _mobula.actors(True, all_namespaces, namespace)
    alive = [actor for actor in found if actor["name"] and actor["state"] != 4]
    if all_namespaces:
        return [{"name": a["name"], "namespace": a["namespace"]} for a in alive]
    return [actor["name"] for actor in alive if actor["namespace"] == namespace]


def __getattr__(name):
    import importlib

    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    else:
        try:
            value = importlib.import_module(f"ray.util.{name}")
        except ModuleNotFoundError as e:
            if e.name != f"ray.util.{name}":
                raise
            raise AttributeError(f"module 'ray.util' has no attribute {name!r}") from None
    globals()[name] = value
    return value


__all__ = [
    *(name for name in _LAZY if name != "PublicAPI"),
    *_MODULES,
    "accelerators",
    "collective",
    "get_current_placement_group",
    "get_node_instance_id",
    "get_node_ip_address",
    "get_placement_group",
    "iter",
    "list_named_actors",
    "placement_group",
    "placement_group_table",
    "remove_placement_group",
]
