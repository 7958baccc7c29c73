# SPDX-License-Identifier: Apache-2.0
"""Where a task or an actor should run, beyond "DEFAULT" and "SPREAD"."""
from ray._raylet import NodeID


class PlacementGroupSchedulingStrategy:
    """Inside a placement group: in the bundle of that index, or in any (-1)."""

    def __init__(
        self,
        placement_group,
        placement_group_bundle_index=-1,
        placement_group_capture_child_tasks=None,
    ):
        self.placement_group = placement_group
        self.placement_group_bundle_index = placement_group_bundle_index
        self.placement_group_capture_child_tasks = placement_group_capture_child_tasks


class NodeAffinitySchedulingStrategy:
    """On that node; `soft` allows another when it is gone or can't ever fit."""

    def __init__(self, node_id, soft, _spill_on_unavailable=False, _fail_on_unavailable=False):
        self.node_id = node_id if isinstance(node_id, str) else node_id.hex()
        self.soft = soft
        self._spill_on_unavailable = _spill_on_unavailable
        self._fail_on_unavailable = _fail_on_unavailable
        self._validate()

    def _validate(self):
        invalid = ValueError(
            f"Invalid node_id '{self.node_id}'. Node ID must be a valid "
            "hex string. To get a list of all nodes and their IDs in your cluster, "
            "use ray.nodes(). See https://docs.ray.io/en/latest/ray-core/miscellaneous.html#node-information for more details."
        )
        try:
            node_id = NodeID.from_hex(self.node_id)
        except Exception as e:
            raise invalid from e
        if node_id.is_nil():
            raise invalid
        if self._spill_on_unavailable and not self.soft:
            raise ValueError(
                "_spill_on_unavailable cannot be set when soft is "
                "False. Please set soft to True to use _spill_on_unavailable."
            )
        if self._fail_on_unavailable and self.soft:
            raise ValueError(
                "_fail_on_unavailable cannot be set when soft is "
                "True. Please set soft to False to use _fail_on_unavailable."
            )


class _Values:
    """An operator over some label values."""

    def __init__(self, *values):
        name = type(self).__name__
        if not values:
            raise ValueError(
                f"The variadic parameter of the {name} operator"
                f' must be a non-empty tuple: e.g. {name}("value1", "value2").'
            )
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise ValueError(
                    f"Type of value in position {index} for the {name} operator "
                    f'must be str (e.g. {name}("value1", "value2")) '
                    f"but got {value} of type {type(value)}."
                )
        self.values = list(values)


class In(_Values):
    """The label has one of the values."""


class NotIn(_Values):
    """The label has none of the values."""


class Exists:
    """The label is there."""


class DoesNotExist:
    """The label is not there."""


class _LabelMatchExpression:
    def __init__(self, key, operator):
        self.key = key
        self.operator = operator


class NodeLabelSchedulingStrategy:
    """On a node whose labels match `hard`, rather on one that matches `soft` too."""

    def __init__(self, hard, *, soft=None):
        self.hard = _expressions(hard, "hard")
        self.soft = _expressions(soft, "soft")
        if not (self.hard or self.soft):
            raise ValueError(
                "The `hard` and `soft` parameter "
                "of NodeLabelSchedulingStrategy cannot both be empty."
            )


def _expressions(conditions, param):
    if conditions is None:
        return []
    if not isinstance(conditions, dict):
        raise ValueError(
            f'The {param} parameter must be a map (e.g. {{"key1": In("value1")}}) '
            f"but got type {type(conditions)}."
        )
    for key, value in conditions.items():
        if not isinstance(key, str):
            raise ValueError(
                f"The map key of the {param} parameter must "
                f'be of type str (e.g. {{"key1": In("value1")}}) '
                f"but got {key} of type {type(key)}."
            )
        if not isinstance(value, (In, NotIn, Exists, DoesNotExist)):
            raise ValueError(
                f"The map value for key {key} of the {param} parameter "
                f"must be one of the `In`, `NotIn`, `Exists` or `DoesNotExist` "
                f'operator (e.g. {{"key1": In("value1")}}) '
                f"but got {value} of type {type(value)}."
            )
    return [_LabelMatchExpression(key, value) for key, value in conditions.items()]
