# SPDX-License-Identifier: Apache-2.0
"""Actors of a graph, and calls of their methods."""
from ray.actor import ActorHandle
from ray.dag.constants import (
    BIND_INDEX_KEY,
    IS_CLASS_METHOD_OUTPUT_KEY,
    PARENT_CLASS_NODE_KEY,
    PREV_CLASS_METHOD_CALL_KEY,
)
from ray.dag.dag_node import DAGNode
from ray.dag.format_utils import get_dag_node_str


class ClassNode(DAGNode):
    """What `A.bind(...)` gives: an actor that each execution starts anew."""

    def __init__(
        self,
        cls,
        cls_args,
        cls_kwargs,
        cls_options,
        other_args_to_resolve=None,
        actor_class=None,
    ):
        from ray.dag.input_node import InputNode

        self._body = cls
        self._actor_class = actor_class  # what .options() gave
        self._last_call = None
        super().__init__(cls_args, cls_kwargs, cls_options, other_args_to_resolve)
        if any(isinstance(node, InputNode) for node in self._upstream_nodes):
            raise ValueError(
                "InputNode handles user dynamic input the DAG, and "
                "cannot be used as args, kwargs, or other_args_to_resolve "
                "in ClassNode constructor because it is not available at "
                "class construction or binding time."
            )

    def _execute_impl(self, *args, **kwargs):
        actor_class = self._actor_class
        if actor_class is None:
            import ray

            actor_class = ray.remote(self._body).options(**self._bound_options)
        return actor_class.remote(*self._bound_args, **self._bound_kwargs)

    def __getattr__(self, method_name):
        if method_name == "bind" and not hasattr(self._body, "bind"):
            raise AttributeError(f".bind() cannot be used again on {type(self)} ")
        getattr(self._body, method_name)  # or an AttributeError that names the class
        return _UnboundClassMethodNode(self, method_name, {})

    def __str__(self):
        return get_dag_node_str(self, str(self._body))


class _UnboundClassMethodNode:
    """A method of a ClassNode, before its .bind()."""

    def __init__(self, actor, method_name, options):
        self._actor = actor
        self._method_name = method_name
        self._options = options

    def options(self, **options):
        self._options = options
        return self

    def bind(self, *args, **kwargs):
        """A call that comes after those that were bound before it."""
        actor = self._actor
        others = {
            PARENT_CLASS_NODE_KEY: actor,
            PREV_CLASS_METHOD_CALL_KEY: actor._last_call,
        }
        actor._last_call = ClassMethodNode(self._method_name, args, kwargs, self._options, others)
        return actor._last_call

    def __getattr__(self, attr):
        if attr == "remote":
            raise AttributeError(
                ".remote() cannot be used on ClassMethodNodes. Use .bind() instead "
                "to express an symbolic actor call."
            )
        return self.__getattribute__(attr)


class ClassMethodNode(DAGNode):
    """A call of an actor's method; or one of the results of a call that has several."""

    def __init__(
        self, method_name, method_args, method_kwargs, method_options, other_args_to_resolve
    ):
        self._method_name = method_name
        self._result_of = None  # (call, index) if it is a result
        if other_args_to_resolve.get(IS_CLASS_METHOD_OUTPUT_KEY):
            self._result_of = method_args
        super().__init__(method_args, method_kwargs, method_options, other_args_to_resolve)

    def _execute_impl(self, *args, **kwargs):
        if self.is_class_method_output:
            results, index = self._bound_args
            return results[index]
        method = getattr(self._bound_other_args_to_resolve[PARENT_CLASS_NODE_KEY], self._method_name)
        return method.options(**self._bound_options).remote(*self._bound_args, **self._bound_kwargs)

    def get_method_name(self):
        return self._method_name

    def _get_bind_index(self):
        return self._bound_other_args_to_resolve.get(BIND_INDEX_KEY)

    def _get_actor_handle(self):
        actor = self._bound_other_args_to_resolve.get(PARENT_CLASS_NODE_KEY)
        return actor if isinstance(actor, ActorHandle) else None

    @property
    def num_returns(self):
        call = self.class_method_call or self
        return call._bound_options.get("num_returns") or 1

    @property
    def is_class_method_call(self):
        return self._result_of is None

    @property
    def is_class_method_output(self):
        return self._result_of is not None

    @property
    def class_method_call(self):
        """Of a result: the call. None of a call itself."""
        return self._result_of and self._result_of[0]

    @property
    def output_idx(self):
        """Of a result: which one it is. None of a call itself."""
        return self._result_of and self._result_of[1]

    def __str__(self):
        return get_dag_node_str(self, f"{self._method_name}()")

    __repr__ = __str__


def bind_method(handle, spec, args, kwargs):
    """The node of `handle.method.bind(...)`; a tuple of nodes for a method of several results."""
    options = spec.options
    try:
        spec.signature.bind(args, kwargs)
    except TypeError as e:
        raise TypeError(
            f"{e}. The function `{spec.name}` has a signature `{spec.signature}`, but the given "
            f"arguments to `bind` doesn't match. args: {args}. kwargs: {kwargs}."
        ) from None
    count = options.get("num_returns")
    bound = {
        "name": options.get("name", ""),
        "num_returns": 1 if count is None else count,
        "concurrency_group": options.get("concurrency_group"),
        "_generator_backpressure_num_objects": options.get("_generator_backpressure_num_objects"),
    }
    index = getattr(handle, "_ray_dag_bind_index", 0)
    handle._ray_dag_bind_index = index + 1
    others = {
        PARENT_CLASS_NODE_KEY: handle,
        PREV_CLASS_METHOD_CALL_KEY: None,
        BIND_INDEX_KEY: index,
    }
    node = ClassMethodNode(spec.name, args, kwargs, bound, others)
    if not isinstance(count, int) or count < 2:
        return node
    others = {IS_CLASS_METHOD_OUTPUT_KEY: True, PARENT_CLASS_NODE_KEY: handle}
    return tuple(
        ClassMethodNode(f"return_idx_{i}", (node, i), {}, {}, dict(others)) for i in range(count)
    )
