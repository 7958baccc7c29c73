# SPDX-License-Identifier: Apache-2.0
"""A task of a graph."""
from ray.dag.dag_node import DAGNode
from ray.dag.format_utils import get_dag_node_str


class FunctionNode(DAGNode):
    """What `f.bind(...)` gives."""

    def __init__(
        self,
        func_body,
        func_args,
        func_kwargs,
        func_options,
        other_args_to_resolve=None,
        remote_function=None,
    ):
        self._body = func_body
        # What .options() gave, so that each execution sends the same function.
        self._remote_function = remote_function
        super().__init__(func_args, func_kwargs, func_options, other_args_to_resolve)

    def _execute_impl(self, *args, **kwargs):
        function = self._remote_function
        if function is None:
            import ray

            function = ray.remote(self._body).options(**self._bound_options)
        return function.remote(*self._bound_args, **self._bound_kwargs)

    def __str__(self):
        return get_dag_node_str(self, str(self._body))
