# SPDX-License-Identifier: Apache-2.0
"""What all nodes of a task graph have in common."""
import uuid
import warnings

from ray.util.annotations import RayDeprecationWarning


class DAGNode:
    """A call to be made: its arguments, in which other nodes may stand, and its options."""

    def __init__(self, args, kwargs, options, other_args_to_resolve):
        self._bound_args = args or []
        self._bound_kwargs = kwargs or {}
        self._bound_options = options or {}
        # What has to be there first and is no argument: the actor, its call before.
        self._bound_other_args_to_resolve = other_args_to_resolve or {}
        self._stable_uuid = uuid.uuid4().hex  # that of its copies too
        self.cache_from_last_execute = {}
        self._downstream_nodes = []
        self._upstream_nodes = self._scan().nodes
        for node in self._upstream_nodes:
            node._downstream_nodes.append(self)

    def _scan(self):
        from ray.dag.scan import Scan

        bound = (self._bound_args, self._bound_kwargs, self._bound_other_args_to_resolve)
        return Scan(bound, DAGNode)

    # ---- what it is made of ----------------------------------------------------------------------

    def get_args(self):
        return self._bound_args

    def get_kwargs(self):
        return self._bound_kwargs.copy()

    def get_options(self):
        return self._bound_options.copy()

    def get_other_args_to_resolve(self):
        return self._bound_other_args_to_resolve.copy()

    def get_stable_uuid(self):
        return self._stable_uuid

    def _get_toplevel_child_nodes(self):
        """The nodes that are arguments themselves, each once."""
        bound = [
            *self._bound_args,
            *self._bound_kwargs.values(),
            *self._bound_other_args_to_resolve.values(),
        ]
        return list(dict.fromkeys(value for value in bound if isinstance(value, DAGNode)))

    def _get_all_child_nodes(self):
        """Those inside of arguments too."""
        return self._scan().nodes

    def _find_root(self):
        """The InputNode that this depends on."""
        from ray.dag.input_node import InputNode

        node = self
        while not isinstance(node, InputNode):
            if not node._upstream_nodes:
                raise ValueError(
                    "No InputNode found in the DAG: when traversing upwards, "
                    f"no upstream node was found for {node}."
                )
            node = node._upstream_nodes[0]
        return node

    # ---- running it ------------------------------------------------------------------------------

    def execute(self, *args, _ray_cache_refs=False, **kwargs):
        """Makes all the calls that this one needs, and this one; returns its reference (a list of
        them for a MultiOutputNode, a handle for an actor). The arguments are what the InputNode
        stands for."""
        warnings.warn(
            "DAGNode.execute() is deprecated and will be removed in a future release.",
            RayDeprecationWarning,
            stacklevel=2,
        )
        done = {}
        result = self._apply(lambda node: node._execute_impl(*args, **kwargs), done)
        if _ray_cache_refs:
            self.cache_from_last_execute = done
        return result

    def apply_recursive(self, fn):
        """fn(copy of a node) for each node below this one and then for itself, where the results of
        those below stand in the copy in their place; its result for this one."""
        return self._apply(fn, {})

    def _apply(self, fn, done):
        """`done`: uuid -> result, of nodes that others use as well."""
        # Of a chain of a thousand calls none may need a thousand frames: children first, by hand.
        stack = [(self, self._scan())]
        inputs = set()
        while stack:
            node, scan = stack[-1]
            todo = [child for child in scan.nodes if child._stable_uuid not in done]
            if todo:
                stack += [(child, child._scan()) for child in reversed(todo)]
                continue
            stack.pop()
            if node._stable_uuid not in done:
                node._note_input(inputs)
                bound = scan.replaced(lambda child: done[child._stable_uuid])
                done[node._stable_uuid] = fn(node._copy(*bound))
        return done[self._stable_uuid]

    def _note_input(self, inputs):
        """Looks that a graph has one InputNode at most."""

    def traverse_and_apply(self, fn):
        """fn(node) for each node of the graph that this one is part of."""
        seen, queue = {self}, [self]
        while queue:
            node = queue.pop(0)
            fn(node)
            for neighbour in (*node._downstream_nodes, *node._upstream_nodes):
                if neighbour not in seen:
                    seen.add(neighbour)
                    queue.append(neighbour)

    def apply_functional(self, source_input_list, predicate_fn, apply_fn):
        """A copy of a value with apply_fn(node) for the nodes in it that satisfy predicate_fn."""
        from ray.dag.scan import Scan

        scan = Scan(source_input_list, DAGNode)
        table = {node: apply_fn(node) for node in scan.nodes if predicate_fn(node)}
        return scan.replaced(lambda node: table.get(node, node))

    async def get_object_refs_from_last_execute(self):
        """{uuid: result} of the last execute(_ray_cache_refs=True)."""
        return dict(self.cache_from_last_execute)

    def clear_cache(self):
        self.cache_from_last_execute = {}

    def _execute_impl(self, *args, **kwargs):
        """Makes this call; its arguments are no nodes any more."""
        raise NotImplementedError

    def _copy(self, args, kwargs, others):
        """The same node with other arguments, that depends on no node."""
        copy = object.__new__(type(self))
        copy.__dict__.update(
            self.__dict__,
            _bound_args=args,
            _bound_kwargs=kwargs,
            _bound_other_args_to_resolve=others,
            _upstream_nodes=[],
            _downstream_nodes=[],
        )
        return copy

    # ---- compiled graphs -------------------------------------------------------------------------

    def experimental_compile(self, *args, **kwargs):
        raise NotImplementedError(
            "Compiled graphs (DAGNode.experimental_compile) are not supported by Mobula yet. "
            "Call .execute() on the graph itself."
        )

    def with_tensor_transport(self, *args, **kwargs):
        raise NotImplementedError("Tensor transports are not supported by Mobula yet.")

    # ----------------------------------------------------------------------------------------------

    def __getstate__(self):
        return self.__dict__

    def __setstate__(self, state):
        self.__dict__.update(state)

    def __getattr__(self, attr):
        if attr == "bind":
            raise AttributeError(f".bind() cannot be used again on {type(self)} ")
        if attr == "remote":
            raise AttributeError(
                f".remote() cannot be used on {type(self)}. To execute the task "
                "graph for this node, use .execute()."
            )
        return self.__getattribute__(attr)
