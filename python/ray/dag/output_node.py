# SPDX-License-Identifier: Apache-2.0
"""The end of a graph with several results."""
from ray.dag.dag_node import DAGNode
from ray.dag.format_utils import get_dag_node_str


class MultiOutputNode(DAGNode):
    """Several nodes as one: `MultiOutputNode([a, b]).execute()` gives a list of references."""

    def __init__(self, args, other_args_to_resolve=None):
        if isinstance(args, tuple):
            args = list(args)
        if not isinstance(args, list):
            raise ValueError(f"Invalid input type for `args`, {type(args)}.")
        super().__init__(args, {}, {}, other_args_to_resolve)

    def _execute_impl(self, *args, **kwargs):
        return self._bound_args

    def __str__(self):
        return get_dag_node_str(self, "__MultiOutputNode__")
