# SPDX-License-Identifier: Apache-2.0
"""Names that libraries import from Ray's native module."""
from ray._mobula import (  # noqa: F401
    ActorClassID,
    ActorID,
    BaseID,
    ClusterID,
    FunctionID,
    JobID,
    NodeID,
    ObjectRef,
    PlacementGroupID,
    TaskID,
    UniqueID,
    WorkerID,
)
from ray._private.object_ref_generator import (  # noqa: F401
    DynamicObjectRefGenerator,
    ObjectRefGenerator,
    StreamingGeneratorStats,
)

ObjectID = ObjectRef
StreamingObjectRefGenerator = ObjectRefGenerator

RESOURCE_UNIT_SCALING = 10000
STREAMING_GENERATOR_RETURN = -2
GRPC_STATUS_CODE_UNAVAILABLE = 14
GRPC_STATUS_CODE_RESOURCE_EXHAUSTED = 8
GRPC_STATUS_CODE_UNKNOWN = 2
GRPC_STATUS_CODE_DEADLINE_EXCEEDED = 4
GRPC_STATUS_CODE_UNIMPLEMENTED = 12
IMPLICIT_RESOURCE_PREFIX = "node:__internal_implicit_resource_"
RAY_INTERNAL_NAMESPACE_PREFIX = "_ray_internal_"
RAY_INTERNAL_DASHBOARD_NAMESPACE = "_ray_internal_dashboard"
NODE_TYPE_NAME_ENV = "RAY_NODE_TYPE_NAME"
NODE_MARKET_TYPE_ENV = "RAY_NODE_MARKET_TYPE"
NODE_REGION_ENV = "RAY_NODE_REGION"
NODE_ZONE_ENV = "RAY_NODE_ZONE"
# Labels that nodes have by themselves.
RAY_NODE_ID_KEY = "ray.io/node-id"
RAY_NODE_ACCELERATOR_TYPE_KEY = "ray.io/accelerator-type"
RAY_NODE_GROUP_KEY = "ray.io/node-group"
RAY_NODE_MARKET_TYPE_KEY = "ray.io/market-type"
RAY_NODE_REGION_KEY = "ray.io/availability-region"
RAY_NODE_ZONE_KEY = "ray.io/availability-zone"
RAY_NODE_TPU_POD_TYPE_KEY = "ray.io/tpu-pod-type"
RAY_NODE_TPU_SLICE_NAME_KEY = "ray.io/tpu-slice-name"
RAY_NODE_TPU_TOPOLOGY_KEY = "ray.io/tpu-topology"
RAY_NODE_TPU_WORKER_ID_KEY = "ray.io/tpu-worker-id"


class Language:
    """The language of a worker."""

    def __init__(self, name, value):
        self._name = name
        self.value = value

    def __repr__(self):
        return self._name

    def __reduce__(self):
        return getattr, (Language, self._name)


Language.PYTHON = Language("PYTHON", 0)
Language.JAVA = Language("JAVA", 1)
Language.CPP = Language("CPP", 2)


def getproctitle():
    from ray._private import proctitle

    return proctitle.get()


def setproctitle(title):
    from ray._private import proctitle

    proctitle.set(title)
