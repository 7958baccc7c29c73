# SPDX-License-Identifier: Apache-2.0
"""Lists of what gcs knows, filtered here."""
import os

from ray import _mobula
from ray.util.state.common import (
    DEFAULT_LIMIT,
    DEFAULT_RPC_TIMEOUT,
    RAY_MAX_LIMIT_FROM_API_SERVER,
    ActorState,
    NodeState,
    PlacementGroupState,
)
from ray.util.state.exception import ServerUnavailable

_ACTOR_STATES = ("DEPENDENCIES_UNREADY", "PENDING_CREATION", "ALIVE", "RESTARTING", "DEAD")
_NODE_STATES = ("ALIVE", "DEAD", "DRAINING")


def _need_cluster():
    if not _mobula.is_connected():
        raise ServerUnavailable("there is no connection to a cluster: call ray.init() first.")


def _hex(id_bytes):
    return id_bytes.hex() if any(id_bytes) else None


def _actors():
    for actor in _mobula.actors(False, True, None):
        dead = actor["state"] == 4
        yield {
            "actor_id": actor["actor_id"].hex(),
            "class_name": actor["class_name"],
            "state": _ACTOR_STATES[actor["state"]],
            "job_id": actor["job_id"].hex(),
            "name": actor["name"],
            "node_id": _hex(actor["node_id"]),
            "pid": actor["pid"],
            "ray_namespace": actor["namespace"],
            "death_cause": {"error_message": actor["death_text"]} if dead else None,
            "is_detached": actor["detached"],
            "num_restarts": actor["restarts"],
        }


def _nodes():
    for node in _mobula.nodes():
        state = _NODE_STATES[node["state"]]
        yield {
            "node_id": node["node_id"].hex(),
            "node_ip": node["ip"],
            "is_head_node": node["head"],
            "state": "ALIVE" if state == "DRAINING" else state,
            "state_message": node["death_reason"] if state == "DEAD" else None,
            "node_name": node["name"] or node["ip"],
            "resources_total": node["total"],
            "labels": node["labels"],
            "start_time_ms": node["started_ms"],
        }


def _placement_groups():
    from ray.util.placement_group import placement_group_table

    details = {group["id"].hex(): group for group in _mobula.groups()}
    for group_id, row in placement_group_table().items():
        group = details.get(group_id)
        if group is None:  # made between the two questions
            continue
        nodes = row["bundles_to_node_id"]
        yield {
            "placement_group_id": group_id,
            "name": row["name"],
            "creator_job_id": group["job_id"].hex(),
            "state": row["state"],
            "bundles": [
                {
                    "bundle_id": {"placement_group_id": group_id, "bundle_index": index},
                    "node_id": nodes[index] or None,
                    "unit_resources": resources,
                }
                for index, resources in row["bundles"].items()
            ],
            "is_detached": group["detached"],
            "stats": row["stats"],
        }


def _same(value, wanted):
    if isinstance(value, bool) and isinstance(wanted, str):
        return str(value).lower() == wanted.lower()
    if isinstance(value, str) and isinstance(wanted, str):
        return value.lower() == wanted.lower()
    return str(value) == str(wanted)


def _check_filters(schema, filters):
    for key, predicate, _ in filters:
        if predicate not in ("=", "!="):
            raise ValueError(
                f"Unsupported filter predicate {predicate} is given. Available predicates: =, !=."
            )
        if key not in schema.filterable_columns():
            raise ValueError(
                f"The given filter column {key} is not supported. "
                f"Supported filter columns: {schema.filterable_columns()}"
            )


def _list(schema, rows, filters, limit, detail):
    _need_cluster()
    filters = filters or []
    _check_filters(schema, filters)
    most = int(os.environ.get("RAY_MAX_LIMIT_FROM_API_SERVER", RAY_MAX_LIMIT_FROM_API_SERVER))
    if limit > most:
        raise ValueError(
            f"Given limit {limit} exceeds the supported limit {most}. "
            "Use a lower limit."
        )
    columns = schema.list_columns(detail=detail)
    found = []
    for row in rows():
        if all(_same(row.get(k), v) == (p == "=") for k, p, v in filters):
            found.append(schema(**{key: row.get(key) for key in columns}))
    key = schema.list_columns()[0]
    return sorted(found, key=lambda state: state[key])[:limit]


def _get(schema, rows, id):
    _need_cluster()
    key = schema.list_columns()[0]
    for row in rows():
        if row[key] == id:
            return schema(**row)
    return None


def list_actors(
    address=None,
    filters=None,
    limit=DEFAULT_LIMIT,
    timeout=DEFAULT_RPC_TIMEOUT,
    detail=False,
    raise_on_missing_output=True,
    _explain=False,
):
    """The actors, dead ones too; `filters`: [(column, "=" or "!=", value)], all must hold."""
    return _list(ActorState, _actors, filters, limit, detail)


def list_nodes(
    address=None,
    filters=None,
    limit=DEFAULT_LIMIT,
    timeout=DEFAULT_RPC_TIMEOUT,
    detail=False,
    raise_on_missing_output=True,
    _explain=False,
):
    """The nodes, dead ones too."""
    return _list(NodeState, _nodes, filters, limit, detail)


def list_placement_groups(
    address=None,
    filters=None,
    limit=DEFAULT_LIMIT,
    timeout=DEFAULT_RPC_TIMEOUT,
    detail=False,
    raise_on_missing_output=True,
    _explain=False,
):
    """The placement groups, removed ones too."""
    return _list(PlacementGroupState, _placement_groups, filters, limit, detail)


def get_actor(id, address=None, timeout=DEFAULT_RPC_TIMEOUT, _explain=False):
    """One actor with all details, or None."""
    return _get(ActorState, _actors, id)


def get_node(id, address=None, timeout=DEFAULT_RPC_TIMEOUT, _explain=False):
    """One node with all details, or None."""
    return _get(NodeState, _nodes, id)


def get_placement_group(id, address=None, timeout=DEFAULT_RPC_TIMEOUT, _explain=False):
    """One placement group with all details, or None."""
    return _get(PlacementGroupState, _placement_groups, id)


def summarize_actors(
    address=None, timeout=DEFAULT_RPC_TIMEOUT, raise_on_missing_output=True, _explain=False
):
    """How many actors of each class are in each state."""
    summary, total = {}, 0
    _need_cluster()
    for actor in _actors():
        total += 1
        of_class = summary.setdefault(
            actor["class_name"], {"class_name": actor["class_name"], "state_counts": {}}
        )
        counts = of_class["state_counts"]
        counts[actor["state"]] = counts.get(actor["state"], 0) + 1
    return {
        "cluster": {"summary": summary, "total_actors": total, "summary_by": "class"}
    }
