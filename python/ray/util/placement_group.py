# SPDX-License-Identifier: Apache-2.0
"""Placement groups: bundles of resources that are reserved together."""
from ray import _mobula
from ray._raylet import PlacementGroupID

VALID_PLACEMENT_GROUP_STRATEGIES = {"PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"}

_STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")  # GroupStrategy
_STATES = ("PENDING", "PREPARED", "CREATED", "REMOVED", "RESCHEDULING")  # GroupState
_NODE_ID_LABEL = "ray.io/node-id"


def _worker():
    from ray._private.worker import global_worker

    global_worker.check_connected()
    return global_worker


class PlacementGroup:
    """A handle of a placement group."""

    @staticmethod
    def empty():
        return PlacementGroup(PlacementGroupID.nil())

    def __init__(self, id, bundle_cache=None):
        self.id = id
        self.bundle_cache = bundle_cache
        self._settled = True  # gcs knows of it

    @property
    def is_empty(self):
        return self.id.is_nil()

    def ready(self):
        """A reference that becomes this handle once all bundles have their place."""
        if self.is_empty:
            from ray._private.worker import put

            return put(self)
        _worker()
        return _mobula.group_ready(
            self.id.binary(), PlacementGroup(self.id, self.bundle_cache)
        )

    def wait(self, timeout_seconds=30):
        """Waits for the bundles' places; False when that takes longer than `timeout_seconds`."""
        _worker()
        answer = _mobula.group_wait(self.id.binary(), timeout_seconds)
        if answer is None:
            raise Exception(f"Placement group {self.id!r} does not exist.")
        return answer

    @property
    def bundle_specs(self):
        """The bundles, a dict of resources each."""
        if not self.bundle_cache:
            _worker()
            group = _mobula.group(self.id.binary(), None, None)
            self.bundle_cache = [bundle["resources"] for bundle in group["bundles"]]
        return self.bundle_cache

    @property
    def bundle_count(self):
        return len(self.bundle_specs)

    def __eq__(self, other):
        return isinstance(other, PlacementGroup) and self.id == other.id

    def __hash__(self):
        return hash(self.id)

    def __reduce__(self):
        if not self._settled:
            _mobula.group_settle(self.id.binary())
            self._settled = True
        return PlacementGroup, (self.id, self.bundle_cache)


def placement_group(
    bundles,
    strategy=None,
    name="",
    lifetime=None,
    _soft_target_node_id=None,
    bundle_label_selector=None,
    topology_strategy=None,
):
    """Asks for a placement group; it gets its place in time: see PlacementGroup.ready().

    `strategy` is "PACK" (few nodes), "SPREAD" (many), "STRICT_PACK" (one) or "STRICT_SPREAD" (one a
    bundle). `lifetime` "detached" keeps the group when its creator ends.
    """
    worker = _worker()
    validate_placement_group(
        bundles,
        strategy,
        lifetime,
        _soft_target_node_id,
        bundle_label_selector,
        topology_strategy,
    )
    topology = [key for key in topology_strategy or () if key != _NODE_ID_LABEL]
    cache = [{key: float(value) for key, value in bundle.items()} for bundle in bundles]
    made = _mobula.group_create(
        name or "",
        worker.namespace if name else None,
        _STRATEGIES.index(_node_strategy(strategy, topology_strategy)),
        [{key: value for key, value in bundle.items() if value > 0} for bundle in cache],
        bundle_label_selector or [],
        lifetime == "detached",
        bytes.fromhex(_soft_target_node_id) if _soft_target_node_id else None,
        topology[0] if topology else "",
    )
    if isinstance(made, str):
        from ray.exceptions import RaySystemError

        raise RaySystemError(made)
    group = PlacementGroup(PlacementGroupID(made), cache)
    group._settled = bool(name)
    return group


def remove_placement_group(placement_group):
    """Removes a group: what runs in it ends."""
    assert placement_group is not None
    _worker()
    _mobula.group_remove(placement_group.id.binary())


def get_placement_group(placement_group_name):
    """The handle of the group with that name in this namespace; ValueError if there is none."""
    if not placement_group_name:
        raise ValueError("Please supply a non-empty value to get_placement_group")
    group = _mobula.group(None, placement_group_name, _worker().namespace)
    if group is None:
        raise ValueError(f"Failed to look up placement group with name: {placement_group_name}")
    return PlacementGroup(PlacementGroupID(group["id"]))


def placement_group_table(placement_group=None):
    """What is known of one group, or of all: {id: ...}."""
    _worker()
    if placement_group is None:
        return {group["id"].hex(): _table_row(group) for group in _mobula.groups()}
    group = _mobula.group(placement_group.id.binary(), None, None)
    return _table_row(group) if group else {}


def _table_row(group):
    state = _STATES[group["state"]]
    if state in ("CREATED", "REMOVED"):
        scheduling = "FINISHED" if state == "CREATED" else "REMOVED"
    elif group["infeasible"]:
        scheduling = "INFEASIBLE"
    else:
        scheduling = "NO_RESOURCES" if group["attempts"] else "QUEUED"
    bundles = list(enumerate(group["bundles"]))
    return {
        "placement_group_id": group["id"].hex(),
        "name": group["name"],
        "bundles": {index: bundle["resources"] for index, bundle in bundles},
        "bundles_to_node_id": {
            index: bundle["node_id"].hex() if any(bundle["node_id"]) else ""
            for index, bundle in bundles
        },
        "strategy": _STRATEGIES[group["strategy"]],
        "state": state,
        "stats": {
            "end_to_end_creation_latency_ms": group["created_usec"] / 1000,
            "scheduling_latency_ms": group["reserve_usec"] / 1000,
            "scheduling_attempt": group["attempts"],
            "highest_retry_delay_ms": 0.0,
            "scheduling_state": scheduling,
        },
    }


def get_current_placement_group():
    """The group that this task or actor runs in, or None."""
    from ray._private.worker import auto_init

    auto_init()
    group_id = _worker().placement_group_id
    return None if group_id.is_nil() else PlacementGroup(group_id)


# ---- what tasks and actors ask for ---------------------------------------------------------------


def group_of_call(options, resources, placement, name):
    """(PlacementGroup or None, bundle index, capture) for a task or an actor with these options.

    None leaves the placement to the other options. ValueError where the group can't hold it.
    """
    from ray._private.worker import global_worker
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    strategy = options.get("scheduling_strategy")
    if isinstance(strategy, PlacementGroupSchedulingStrategy):
        group = strategy.placement_group
        index = strategy.placement_group_bundle_index
        capture = strategy.placement_group_capture_child_tasks
    elif strategy is None:
        group = options.get("placement_group", "default")
        index = options.get("placement_group_bundle_index", -1)
        capture = options.get("placement_group_capture_child_tasks")
    else:
        return None, -1, False
    if capture is None:
        capture = global_worker.should_capture_child_tasks_in_placement_group
    if group == "default":
        group = get_current_placement_group() if capture else None
    group = group or PlacementGroup.empty()
    assert isinstance(group, PlacementGroup)
    check_placement_group_index(group, index)
    if group.is_empty:
        return None, -1, False
    _check_shape(group, resources, resources if placement is None else placement, name)
    return group, index, bool(capture)


def check_placement_group_index(placement_group, bundle_index):
    assert placement_group is not None
    if placement_group.is_empty:
        if bundle_index != -1:
            raise ValueError(
                "If placement group is not set, the value of bundle index must be -1."
            )
    elif not -1 <= bundle_index < placement_group.bundle_count:
        raise ValueError(
            f"placement group bundle index {bundle_index} "
            f"is invalid. Valid placement group indexes: "
            f"0-{placement_group.bundle_count}"
        )


def _fits_a_bundle(resources, bundles):
    return any(
        all(bundle.get(name, 0) >= amount for name, amount in resources.items())
        for bundle in bundles
    )


def _check_shape(group, resources, placement, name):
    bundles = group.bundle_specs
    cannot = f"Cannot schedule {name} with the placement group because the "
    if not _fits_a_bundle(resources, bundles):
        raise ValueError(
            f"{cannot}resource request {resources} cannot fit into any bundles for "
            f"the placement group, {bundles}."
        )
    if not _fits_a_bundle(placement, bundles):
        raise ValueError(
            f"{cannot}actor requires {placement.get('CPU', 0)} CPU for creation, but it cannot "
            f"fit into any bundles for the placement group, {bundles}. Consider "
            "creating a placement group with CPU resources."
        )


# ---- checks --------------------------------------------------------------------------------------


def _node_strategy(strategy, topology_strategy):
    if topology_strategy is not None:
        return topology_strategy.get(_NODE_ID_LABEL, "PACK")
    return "PACK" if strategy is None else strategy


def validate_placement_group(
    bundles,
    strategy=None,
    lifetime=None,
    _soft_target_node_id=None,
    bundle_label_selector=None,
    topology_strategy=None,
):
    """Raises ValueError unless placement_group() takes these arguments."""
    if topology_strategy is not None and strategy is not None:
        raise ValueError(
            "`strategy` and `topology_strategy` cannot both be specified. "
            f"Pass node-level packing via `topology_strategy['{_NODE_ID_LABEL}']`."
        )
    if strategy is not None and strategy not in VALID_PLACEMENT_GROUP_STRATEGIES:
        raise ValueError(
            f"Invalid placement group strategy {strategy}. "
            f"Supported strategies are: {VALID_PLACEMENT_GROUP_STRATEGIES}."
        )
    if topology_strategy is not None:
        _validate_topology(topology_strategy)
    if _soft_target_node_id:
        _validate_soft_target(_soft_target_node_id, _node_strategy(strategy, topology_strategy))
    _validate_bundles(bundles)
    if bundle_label_selector is not None:
        _validate_selectors(bundles, bundle_label_selector)
    if lifetime not in (None, "detached"):
        raise ValueError(
            "Placement group `lifetime` argument must be either `None` or "
            f"'detached'. Got {lifetime}."
        )


def _validate_soft_target(node_id, strategy):
    if strategy != "STRICT_PACK":
        raise ValueError(
            f"_soft_target_node_id currently only works with STRICT_PACK but got {strategy}"
        )
    from ray._raylet import NodeID

    if NodeID.from_hex(node_id).is_nil():
        raise ValueError(f"Invalid hex ID of _soft_target_node_id, got {node_id}")


def _validate_topology(topology):
    if not isinstance(topology, dict):
        raise ValueError(f"`topology_strategy` must be a dict, got {type(topology).__name__}.")
    if len(topology) > 2:
        raise ValueError(
            "`topology_strategy` must contain 0, 1, or 2 entries: "
            f"`{_NODE_ID_LABEL}` plus an optional topology label. Got {len(topology)} entries."
        )
    labels = []
    for key, value in topology.items():
        if not isinstance(key, str) or not key:
            raise ValueError(
                f"`topology_strategy` keys must be non-empty strings, got {key!r}."
            )
        if value not in VALID_PLACEMENT_GROUP_STRATEGIES:
            raise ValueError(
                f"Invalid topology strategy {value!r} for label {key!r}. "
                f"Supported strategies are: {VALID_PLACEMENT_GROUP_STRATEGIES}."
            )
        if key == _NODE_ID_LABEL:
            continue
        labels.append(key)
        if value != "STRICT_PACK":
            raise ValueError(
                f"Topology strategy {value!r} for label {key!r} is not "
                "supported yet; only 'STRICT_PACK' is supported for topology "
                f"labels other than `{_NODE_ID_LABEL}` for now."
            )
    if len(labels) > 1:
        raise ValueError(
            "`topology_strategy` currently supports at most one topology label "
            f"other than `{_NODE_ID_LABEL}`. Got {labels}."
        )


def _is_bundle(bundle):
    return isinstance(bundle, dict) and all(
        isinstance(key, str) and isinstance(value, (int, float)) for key, value in bundle.items()
    )


def _validate_bundles(bundles):
    if not isinstance(bundles, list):
        raise ValueError(f"Placement group bundles must be a list, got {type(bundles)}.")
    if not bundles:
        raise ValueError(
            "Bundles must be a non-empty list of resource "
            'dictionaries. For example: `[{"CPU": 1.0}, {"GPU": 1.0}]`. '
            "Got empty list instead."
        )
    for bundle in bundles:
        if not _is_bundle(bundle):
            raise ValueError(
                "Bundles must be a non-empty list of "
                "resource dictionaries. For example: "
                '`[{"CPU": 1.0}, {"GPU": 1.0}]`.'
            )
        if not any(bundle.values()):
            raise ValueError(
                "Bundles cannot be an empty dictionary or "
                f"resources with only 0 values. Bundles: {bundles}"
            )
        if "object_store_memory" in bundle:
            import warnings

            warnings.warn(
                "Setting 'object_store_memory' for"
                " bundles is deprecated since it doesn't actually"
                " reserve the required object store memory."
                " Use object spilling that's enabled by default (https://docs.ray.io/en/releases-2.60.0/ray-core/objects/object-spilling.html) "
                "instead to bypass the object store memory size limitation.",
                DeprecationWarning,
                stacklevel=1,
            )


def _validate_selectors(bundles, selectors):
    from ray._private.labels import label_selector_error

    if len(bundles) != len(selectors):
        raise ValueError(
            f"Invalid bundle label selector {selectors}. "
            f"The length of `bundle_label_selector` should equal the length of `bundles`."
        )
    if not isinstance(selectors, list):
        raise ValueError(
            f"Placement group bundle_label_selector must be a list, got {type(selectors)}."
        )
    for selector in selectors:
        if not isinstance(selector, dict) or not all(
            isinstance(text, str) for pair in selector.items() for text in pair
        ):
            raise ValueError(
                "Bundle label selector must be a list of string dictionary"
                " label selectors. For example: "
                '`[{ray.io/market_type": "spot"}, {"ray.io/accelerator-type": "A100"}]`.'
            )
        sentence = label_selector_error(selector)
        if sentence:
            raise ValueError(
                f"Invalid label selector provided in bundle_label_selector list."
                f" Detailed error: '{sentence}'"
            )
    _validate_gpu_domains(selectors)


def _validate_gpu_domains(selectors):
    kinds = [selector.get("ray.io/accelerator-type") for selector in selectors]
    domain = next((kind for kind in kinds if kind in ("GB200", "GB300")), None)
    if domain is None:
        return
    for selector, kind in zip(selectors, kinds):
        if kind != domain:
            raise ValueError(
                f"Invalid bundle label selector {selector}. "
                "GPU-domain scheduling requires all bundles to have "
                f"'ray.io/accelerator-type: {domain}'"
                " in their label selector."
            )
