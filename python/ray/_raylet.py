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

RESOURCE_UNIT_SCALING = 10000
STREAMING_GENERATOR_RETURN = -2
GRPC_STATUS_CODE_UNAVAILABLE = 14
GRPC_STATUS_CODE_RESOURCE_EXHAUSTED = 8
RAY_NODE_ID_KEY = "ray.io/node-id"


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
