# SPDX-License-Identifier: Apache-2.0
"""What execute() is called with, as nodes of a graph."""
from ray.dag.dag_node import DAGNode
from ray.dag.format_utils import get_dag_node_str

IN_CONTEXT_MANAGER = "__in_context_manager__"
_KEYS = "Please only use int index or str as first-level key to access fields of dag input."


def _type_name(kind):
    if kind.__module__ == "typing":
        return f"typing.{kind._name}"
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


class InputNode(DAGNode):
    """The arguments of execute(): `with InputNode() as x: graph = f.bind(x[0], x.name)`.

    Called with one value, the node is that value; else its items and attributes are the arguments.
    """

    def __init__(self, *args, input_type=None, **kwargs):
        if args or kwargs:
            raise ValueError("InputNode should not take any args or kwargs.")
        self.input_attribute_nodes = {}
        self.input_type = input_type
        named = isinstance(input_type, type)
        others = {"result_type_string": _type_name(input_type)} if named else {}
        super().__init__([], {}, {}, others)

    def _note_input(self, inputs):
        inputs.add(self._stable_uuid)
        if len(inputs) > 1:
            raise AssertionError("Each DAG should only have one unique InputNode.")

    def _execute_impl(self, *args, **kwargs):
        assert self._in_context_manager(), (
            "InputNode is a singleton instance that should be only used in "
            "context manager for dag building and execution. See the docstring "
            "of class InputNode for examples."
        )
        return args[0] if len(args) == 1 and not kwargs else DAGInputData(*args, **kwargs)

    def _in_context_manager(self):
        return self._bound_other_args_to_resolve.get(IN_CONTEXT_MANAGER, False)

    def set_context(self, key, val):
        self._bound_other_args_to_resolve[key] = val

    def get_result_type(self):
        return self._bound_other_args_to_resolve.get("result_type_string")

    def _attribute(self, key, accessor, kind=None):
        node = self.input_attribute_nodes.get(key)
        if node is None:
            node = self.input_attribute_nodes[key] = InputAttributeNode(self, key, accessor, kind)
        return node

    def __getattr__(self, key):
        if key.startswith("__") and key.endswith("__"):  # what Python itself looks for
            raise AttributeError(key)
        return self._attribute(key, "__getattr__")

    def __getitem__(self, key):
        assert isinstance(key, (str, int)), _KEYS
        kinds = self.input_type if isinstance(self.input_type, dict) else {}
        return self._attribute(key, "__getitem__", _type_name(kinds[key]) if key in kinds else None)

    def __enter__(self):
        self.set_context(IN_CONTEXT_MANAGER, True)
        return self

    def __exit__(self, *args):
        pass

    def __str__(self):
        return get_dag_node_str(self, "__InputNode__")


class InputAttributeNode(DAGNode):
    """One item or attribute of what execute() is called with."""

    def __init__(self, dag_input_node, key, accessor_method, input_type=None):
        self._key = key
        self._accessor_method = accessor_method
        others = {
            "dag_input_node": dag_input_node,
            "key": key,
            "accessor_method": accessor_method,
            "result_type_string": input_type,
        }
        super().__init__([], {}, {}, others)

    def _execute_impl(self, *args, **kwargs):
        value = self._bound_other_args_to_resolve["dag_input_node"]  # by now what it stands for
        if isinstance(value, DAGInputData) or self._accessor_method == "__getitem__":
            return value[self._key]
        return getattr(value, self._key)

    def get_result_type(self):
        return self._bound_other_args_to_resolve["result_type_string"]

    @property
    def key(self):
        return self._key

    def __str__(self):
        return get_dag_node_str(self, f'["{self._key}"]')


class DAGInputData:
    """Several arguments of execute(): by index, or by name."""

    def __init__(self, *args, **kwargs):
        self._args = list(args)
        self._kwargs = kwargs

    def __getitem__(self, key):
        if isinstance(key, int):
            return self._args[key]
        if isinstance(key, str):
            return self._kwargs[key]
        raise ValueError(_KEYS)
