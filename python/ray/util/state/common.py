# SPDX-License-Identifier: Apache-2.0
"""The columns of what is listed. `detail`: only shown when asked for; `filterable`: in filters."""
from dataclasses import asdict, dataclass, field, fields
from typing import List, Optional

DEFAULT_LIMIT = 100
DEFAULT_RPC_TIMEOUT = 30
RAY_MAX_LIMIT_FROM_API_SERVER = 10000


def _column(filterable=True, detail=False):
    return field(default=None, metadata={"filterable": filterable, "detail": detail})


class StateSchema:
    """One thing that is listed: its columns are attributes and items."""

    @classmethod
    def list_columns(cls, detail=True):
        return [f.name for f in fields(cls) if detail or not f.metadata["detail"]]

    @classmethod
    def columns(cls):
        return set(cls.list_columns(detail=True))

    @classmethod
    def base_columns(cls):
        return set(cls.list_columns(detail=False))

    @classmethod
    def filterable_columns(cls):
        return {f.name for f in fields(cls) if f.metadata["filterable"]}

    def asdict(self):
        return asdict(self)

    def __getitem__(self, key):
        return getattr(self, key)

    def __setitem__(self, key, value):
        setattr(self, key, value)

    def get(self, key, default=None):
        return getattr(self, key, default)


@dataclass(init=True)
class ActorState(StateSchema):
    actor_id: str = _column()
    class_name: str = _column()
    state: str = _column()
    job_id: str = _column()
    name: Optional[str] = _column()
    node_id: Optional[str] = _column()
    pid: Optional[int] = _column()
    ray_namespace: Optional[str] = _column()
    serialized_runtime_env: Optional[str] = _column(False, True)
    required_resources: Optional[dict] = _column(False, True)
    death_cause: Optional[dict] = _column(False, True)
    is_detached: Optional[bool] = _column(False, True)
    placement_group_id: Optional[str] = _column(True, True)
    repr_name: Optional[str] = _column(True, True)
    num_restarts: int = _column(False, True)
    num_restarts_due_to_lineage_reconstruction: int = _column(False, True)
    num_restarts_due_to_node_preemption: int = _column(False, True)
    call_site: Optional[str] = _column(False, True)
    label_selector: Optional[dict] = _column(False, True)
    fallback_strategy: Optional[dict] = _column(False, True)


@dataclass(init=True)
class PlacementGroupState(StateSchema):
    placement_group_id: str = _column()
    name: str = _column()
    creator_job_id: str = _column()
    state: str = _column()
    bundles: Optional[List[dict]] = _column(False, True)
    is_detached: Optional[bool] = _column(True, True)
    stats: Optional[dict] = _column(False, True)
    topology_strategy: Optional[dict] = _column(False, True)
    topology_assignments: Optional[dict] = _column(False, True)


@dataclass(init=True)
class NodeState(StateSchema):
    node_id: str = _column()
    node_ip: str = _column()
    is_head_node: bool = _column()
    state: str = _column()
    state_message: Optional[str] = _column(False)
    node_name: str = _column()
    resources_total: dict = _column(False)
    labels: dict = _column(False)
    start_time_ms: Optional[int] = _column(False, True)
    end_time_ms: Optional[int] = _column(False, True)
