# SPDX-License-Identifier: Apache-2.0
"""Serializers of the user's own classes."""
from ray._private.worker import global_worker


def register_serializer(cls, *, serializer, deserializer):
    """From now on this process pickles instances of `cls` by `serializer`; whoever unpickles them
    calls `deserializer`."""
    context = global_worker.get_serialization_context()
    context._register_cloudpickle_serializer(cls, serializer, deserializer)


def deregister_serializer(cls):
    """Takes that back. Nothing happens if there is none."""
    global_worker.get_serialization_context()._unregister_cloudpickle_reducer(cls)
