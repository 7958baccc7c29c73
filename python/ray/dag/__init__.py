# SPDX-License-Identifier: Apache-2.0
"""Task graphs: `.bind()` builds one of functions and actors, `.execute()` runs all of it."""
from ray.dag.class_node import ClassMethodNode, ClassNode
from ray.dag.constants import (
    BIND_INDEX_KEY,
    COLLECTIVE_OPERATION_KEY,
    DAGNODE_TYPE_KEY,
    IS_CLASS_METHOD_OUTPUT_KEY,
    PARENT_CLASS_NODE_KEY,
    PREV_CLASS_METHOD_CALL_KEY,
)
from ray.dag.context import DAGContext
from ray.dag.dag_node import DAGNode
from ray.dag.function_node import FunctionNode
from ray.dag.input_node import DAGInputData, InputAttributeNode, InputNode
from ray.dag.output_node import MultiOutputNode
from ray.dag.vis_utils import plot

__all__ = [
    "ClassNode",
    "ClassMethodNode",
    "DAGNode",
    "FunctionNode",
    "InputNode",
    "InputAttributeNode",
    "DAGInputData",
    "PARENT_CLASS_NODE_KEY",
    "PREV_CLASS_METHOD_CALL_KEY",
    "BIND_INDEX_KEY",
    "IS_CLASS_METHOD_OUTPUT_KEY",
    "COLLECTIVE_OPERATION_KEY",
    "DAGNODE_TYPE_KEY",
    "plot",
    "MultiOutputNode",
    "DAGContext",
]
