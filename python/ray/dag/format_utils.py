# SPDX-License-Identifier: Apache-2.0
"""A node and all below it as text."""
from ray.dag.dag_node import DAGNode

_INDENT = "    "


def get_dag_node_str(dag_node, body_line):
    """`(FunctionNode, uuid)(` and a line, or several, for each thing that it is made of."""
    fields = {
        "body": body_line,
        "args": _of_args(dag_node._bound_args),
        "kwargs": _of_kwargs(dag_node._bound_kwargs),
        "options": _of_options(dag_node._bound_options),
        "other_args_to_resolve": _of_others(dag_node._bound_other_args_to_resolve),
    }
    lines = "".join(f"{_INDENT}{name}={text}\n" for name, text in fields.items())
    return f"({dag_node.__class__.__name__}, {dag_node._stable_uuid})(\n{lines})"


def _inner(value):
    """The lines of a container that may have nodes; None for any other value."""
    if isinstance(value, (list, dict)):
        items = value.values() if isinstance(value, dict) else value
        return [_INDENT + line for item in items for line in str(item).split("\n")]
    return None


def _block(lines, brackets):
    inside = "".join(f"\n{_INDENT}{line}" for line in lines)
    return f"{brackets[0]}{inside}\n{_INDENT}{brackets[1]}"


def _of_args(args):
    lines = []
    for arg in args:
        if isinstance(arg, DAGNode):
            lines += [_INDENT + line for line in str(arg).split("\n")]
        else:
            inner = _inner(arg)
            lines += [f"{_INDENT}{arg}, "] if inner is None else inner
    return _block(lines, "[]") if lines else "[]"


def _of_kwargs(kwargs):
    lines = []
    for key, value in kwargs.items():
        if isinstance(value, DAGNode):
            first, *rest = str(value).split("\n")
            lines += [f"{_INDENT}{key}:{_INDENT}{first}", *(_INDENT * 2 + line for line in rest)]
        else:
            inner = _inner(value)
            lines += [str(value)] if inner is None else inner
    return _block(lines, "{}") if lines else "{}"


def _of_options(options):
    lines = [f"{_INDENT}{key}: {value}" for key, value in options.items() if value]
    return _block(lines, "{}") if options else "{}"


def _of_others(others):
    lines = []
    for key, value in others.items():
        if isinstance(value, DAGNode):
            first, *rest = str(value).split("\n")
            lines.append(f"{_INDENT}{key}:{_INDENT}\n{_INDENT * 3}{first}")
            lines += [_INDENT * 2 + line for line in rest]
        else:
            lines.append(f"{_INDENT}{key}: {value}")
    return _block(lines, "{}") if others else "{}"
