# SPDX-License-Identifier: Apache-2.0
"""Placement groups. Their names exist; this version does not place by them."""
from ray._raylet import PlacementGroupID


def refuse(*args, **kwargs):
    raise NotImplementedError("Placement groups are not supported by Mobula yet.")


class PlacementGroup:
    """A handle of a group of bundles."""

    @staticmethod
    def empty():
        return PlacementGroup(PlacementGroupID.nil())

    def __init__(self, id, bundle_cache=None):
        self.id = id
        self.bundle_cache = bundle_cache

    @property
    def is_empty(self):
        return self.id.is_nil()

    def __eq__(self, other):
        return isinstance(other, PlacementGroup) and self.id == other.id

    def __hash__(self):
        return hash(self.id)


placement_group = remove_placement_group = get_placement_group = placement_group_table = refuse


def get_current_placement_group():
    """The group that this task runs in: none."""
    return None
