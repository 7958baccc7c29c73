# SPDX-License-Identifier: Apache-2.0
"""Nodes inside of arguments, however deep: found, and replaced in a copy.

A value is pickled with every node left out, and read again with something in each one's place: so
nodes are found in whatever can be pickled. References and handles are left out as well, for a copy
of one would count as a borrower.
"""
import io
import pickle

from ray import ObjectRef, cloudpickle
from ray.actor import ActorHandle


class Scan:
    """One value, taken apart."""

    def __init__(self, value, node_type):
        self._value, self._kept, self._buffers = value, [], []
        data = io.BytesIO()
        _Scanner(data, self._buffers, (node_type, ObjectRef, ActorHandle), self._kept).dump(value)
        self._data = data.getvalue()
        # In the order in which they stand in the value, each once.
        self.nodes = [kept for kept in self._kept if isinstance(kept, node_type)]

    def replaced(self, replacement):
        """A copy of the value with `replacement(node)` for each node; itself where there is none."""
        if not self.nodes:
            return self._value
        table = {id(node): replacement(node) for node in self.nodes}
        return _Replacer(self._data, self._buffers, self._kept, table).load()


class _Scanner(cloudpickle.CloudPickler):
    def __init__(self, file, buffers, types, kept):
        super().__init__(file, protocol=5, buffer_callback=buffers.append)  # arrays are not copied
        self._types, self._kept, self._index = types, kept, {}

    def persistent_id(self, obj):
        if not isinstance(obj, self._types):
            return None
        index = self._index.setdefault(id(obj), len(self._kept))
        if index == len(self._kept):
            self._kept.append(obj)
        return index


class _Replacer(pickle.Unpickler):
    def __init__(self, data, buffers, kept, table):
        super().__init__(io.BytesIO(data), buffers=buffers)
        self._kept, self._table = kept, table

    def persistent_load(self, index):
        kept = self._kept[index]
        return self._table.get(id(kept), kept)
