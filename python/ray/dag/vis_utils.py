# SPDX-License-Identifier: Apache-2.0
"""A graph as a picture, where pydot and graphviz are installed."""
import os

from ray.dag.class_node import ClassMethodNode
from ray.dag.input_node import InputAttributeNode, InputNode
from ray.dag.output_node import MultiOutputNode


def plot(dag, to_file=None):
    """Draws the graph into a file (its ending is the format), or for a notebook."""
    import tempfile

    graph = _dot(dag)
    with tempfile.TemporaryDirectory() as folder:
        path = to_file or os.path.join(folder, "dag.png")
        graph.write(path, format=os.path.splitext(path)[1][1:] or "png")
        try:
            from IPython import display
        except ImportError:
            return None
        return display.Image(filename=path)


def _pydot():
    try:
        import pydot
    except ImportError:
        raise ImportError(
            "pydot is required to plot DAG, install it with `pip install pydot`."
        ) from None
    try:
        pydot.Dot.create(pydot.Dot())
    except OSError:
        raise ImportError(
            "graphviz is required to plot DAG, "
            "download it from https://graphviz.gitlab.io/download/"
        ) from None
    return pydot


def _dot(dag):
    pydot = _pydot()
    names, graph = _Names(), pydot.Dot(rankdir="LR")

    def add(node):
        graph.add_node(pydot.Node(names.of(node)))
        for child in node._get_all_child_nodes():
            graph.add_edge(pydot.Edge(names.of(child), names.of(node)))
        return node

    dag.apply_recursive(add)
    return graph


class _Names:
    """A name for each node: its own, with a number where another node has it."""

    def __init__(self):
        self._of, self._count = {}, {}

    def of(self, node):
        name = self._of.get(node._stable_uuid)
        if name is None:
            name = self._of[node._stable_uuid] = self._unique(_base_name(node))
        return name

    def _unique(self, name):
        count = self._count[name] = self._count.get(name, -1) + 1
        return f"{name}_{count}" if count else name


def _base_name(node):
    if isinstance(node, InputNode):
        return "INPUT_NODE"
    if isinstance(node, MultiOutputNode):
        return "MultiOutputNode"
    if isinstance(node, InputAttributeNode):
        return f"INPUT_ATTRIBUTE_NODE_{node.key}"
    own = node._method_name if isinstance(node, ClassMethodNode) else node._body.__name__
    return node.get_options().get("name") or own
