# SPDX-License-Identifier: Apache-2.0
"""Ray's Python API on Mobula's runtime.

Importing this costs next to nothing: what is seldom used loads at its first use.
"""
__version__ = "2.60.0"
# The release whose behaviour this is.
__commit__ = "b7f4259e944bf6959f721b106adc366ddfa0c356"

from ray._mobula import (  # noqa: F401
    ActorClassID,
    ActorID,
    ClusterID,
    FunctionID,
    JobID,
    NodeID,
    ObjectRef,
    PlacementGroupID,
    TaskID,
    UniqueID,
    WorkerID,
    get,
)

ObjectID = ObjectRef

from ray._private.worker import (  # noqa: E402,F401
    SCRIPT_MODE,
    WORKER_MODE,
    available_resources,
    cancel,
    cluster_resources,
    get_actor,
    get_gpu_ids,
    get_runtime_context,
    init,
    is_initialized,
    kill,
    nodes,
    put,
    remote,
    shutdown,
    timeline,
    wait,
)

# Name -> the module that has it.
_LAZY = {
    "ClientBuilder": "ray.client_builder",
    "DynamicObjectRefGenerator": "ray._raylet",
    "Language": "ray._raylet",
    "LoggingConfig": "ray._private.ray_logging.logging_config",
    "ObjectRefGenerator": "ray._raylet",
    "client": "ray.client_builder",
    "cpp_function": "ray.cross_language",
    "java_actor_class": "ray.cross_language",
    "java_function": "ray.cross_language",
    "method": "ray.actor",
}
_MODULES = (
    "_private",
    "_raylet",
    "actor",
    "autoscaler",
    "client_builder",
    "cloudpickle",
    "cluster_utils",
    "cross_language",
    "dag",
    "data",
    "exceptions",
    "experimental",
    "job_config",
    "internal",
    "job_submission",
    "remote_function",
    "rllib",
    "runtime_context",
    "runtime_env",
    "serve",
    "train",
    "tune",
    "types",
    "util",
)
# Old names of private modules, which libraries still use: each attribute warns once.
_DEPRECATED = ("ray_constants", "serialization", "state", "worker")


class _DeprecationWrapper:
    def __init__(self, name, module):
        self._name, self._module, self._warned = name, module, set()

    def __getattr__(self, attribute):
        value = getattr(self._module, attribute)
        if attribute not in self._warned:
            import logging

            self._warned.add(attribute)
            logging.getLogger("ray").warning(
                f"DeprecationWarning: `ray.{self._name}.{attribute}` is a private attribute and "
                "access will be removed in a future Ray version."
            )
        return value


def __getattr__(name):
    import importlib

    if name in _DEPRECATED:
        value = _DeprecationWrapper(name, importlib.import_module("ray._private." + name))
    elif name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
    elif name in _MODULES:
        try:
            value = importlib.import_module("ray." + name)
        except ModuleNotFoundError as e:
            if e.name != "ray." + name:
                raise
            raise AttributeError(f"module 'ray' has no attribute {name!r}") from None
    else:
        raise AttributeError(f"module 'ray' has no attribute {name!r}")
    globals()[name] = value
    return value


__all__ = [
    "__version__",
    "ActorClassID",
    "ActorID",
    "ClientBuilder",
    "DynamicObjectRefGenerator",
    "FunctionID",
    "JobID",
    "Language",
    "LoggingConfig",
    "NodeID",
    "ObjectID",
    "ObjectRef",
    "ObjectRefGenerator",
    "PlacementGroupID",
    "SCRIPT_MODE",
    "TaskID",
    "UniqueID",
    "WORKER_MODE",
    "WorkerID",
    "actor",
    "available_resources",
    "cancel",
    "client",
    "cluster_resources",
    "cpp_function",
    "get",
    "get_actor",
    "get_gpu_ids",
    "get_runtime_context",
    "init",
    "is_initialized",
    "java_actor_class",
    "java_function",
    "kill",
    "method",
    "nodes",
    "put",
    "remote",
    "shutdown",
    "timeline",
    "util",
    "wait",
]


def __dir__():
    return sorted(set(globals()) | set(__all__) | set(_LAZY))
