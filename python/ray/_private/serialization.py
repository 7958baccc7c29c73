# SPDX-License-Identifier: Apache-2.0
"""Pickling of what the C codec leaves to Python: protocol 5, buffers out of band."""
import io
import os
import pickle
import threading

import cloudpickle

from ray import _mobula


class _Context(threading.local):
    refs = None  # the references met in the value that this thread pickles, or None outside


_context = _Context()
_escaped = set()  # references pickled by others than us: nobody can say when their copies die


def dumps(value):
    """(pickle, [buffers], [ObjectRefs inside]) of a value."""
    outer, refs, buffers = _context.refs, [], []
    _context.refs = refs
    try:
        file = io.BytesIO()
        cloudpickle.Pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
    finally:
        _context.refs = outer
    return file.getvalue(), [buffer.raw() for buffer in buffers], refs


def loads(data, buffers):
    try:
        return pickle.loads(data, buffers=buffers)
    except Exception as e:
        import traceback

        from ray.exceptions import RaySystemError

        raise RaySystemError(e, traceback.format_exc()) from e


def ref_escape(ref):
    """An ObjectRef is being pickled: by dumps(), or by user code, which keeps it for ever."""
    if _context.refs is not None:
        _context.refs.append(ref)
        return
    if os.environ.get("RAY_allow_out_of_band_object_ref_serialization", "1").lower() in (
        "0",
        "false",
    ):
        from ray.exceptions import OufOfBandObjectRefSerializationException

        raise OufOfBandObjectRefSerializationException(
            f"It is not allowed to serialize ray.ObjectRef {ref.hex()}. "
            "If you want to allow serialization, "
            "set `RAY_allow_out_of_band_object_ref_serialization=1.` "
            "If you set the env var, the object is pinned forever in the "
            "lifetime of the worker process and can cause Ray object leaks. "
            "See the callsite and trace to find where the serialization occurs.\n"
            "Callsite: Disabled. Set RAY_record_ref_creation_sites=1"
        )
    _escaped.add(ref)


def forget_session():
    """The references of a session that is over."""
    _escaped.clear()


class SerializationContext:
    """How libraries add serializers of their own."""

    def __init__(self, worker):
        self.worker = worker

    def _register_cloudpickle_reducer(self, cls, reducer):
        cloudpickle.CloudPickler.dispatch[cls] = reducer

    def _unregister_cloudpickle_reducer(self, cls):
        cloudpickle.CloudPickler.dispatch.pop(cls, None)

    def _register_cloudpickle_serializer(self, cls, custom_serializer, custom_deserializer):
        def reducer(obj):
            return custom_deserializer, (custom_serializer(obj),)

        cloudpickle.CloudPickler.dispatch[cls] = reducer

    def serialize(self, value):
        """The bytes of a value, as the runtime stores it."""
        return _mobula.encode(value)
