# SPDX-License-Identifier: Apache-2.0
"""The columns of what is listed. `detail`: only shown when asked for; `filterable`: in filters."""
import warnings
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Dict, List, Optional, Tuple, Union

DEFAULT_LIMIT = 100
DEFAULT_LOG_LIMIT = 1000
DEFAULT_RPC_TIMEOUT = 30
DEFAULT_DOWNLOAD_FILENAME = "file.txt"
RAY_MAX_LIMIT_FROM_API_SERVER = 10000
RAY_MAX_LIMIT_FROM_DATA_SOURCE = 10000

PredicateType = str
SupportedFilterType = Union[str, bool, int, float]


class StateResource(Enum):
    ACTORS = "actors"
    JOBS = "jobs"
    PLACEMENT_GROUPS = "placement_groups"
    NODES = "nodes"
    WORKERS = "workers"
    TASKS = "tasks"
    OBJECTS = "objects"
    RUNTIME_ENVS = "runtime_envs"
    CLUSTER_EVENTS = "cluster_events"


class SummaryResource(Enum):
    ACTORS = "actors"
    TASKS = "tasks"
    OBJECTS = "objects"


@dataclass
class ListApiOptions:
    """What a list is asked with. The server has four fifths of the client's time."""

    limit: int = DEFAULT_LIMIT
    timeout: int = DEFAULT_RPC_TIMEOUT
    detail: bool = False
    filters: Optional[List[Tuple[str, PredicateType, SupportedFilterType]]] = field(
        default_factory=list
    )
    exclude_driver: bool = True
    server_timeout_multiplier: float = 0.8

    def __post_init__(self):
        self.timeout = max(1, int(self.timeout * self.server_timeout_multiplier))
        if self.filters is None:
            self.filters = []
        for each in self.filters:
            _, predicate, _ = each
            if predicate not in ("=", "!="):
                raise ValueError(
                    f"Unsupported filter predicate {predicate} is given. "
                    "Available predicates: =, !=."
                )

    def has_conflicting_filters(self):
        """One column that has to equal two values: nothing can."""
        wanted = {}
        for key, predicate, value in self.filters:
            if predicate == "=" and wanted.setdefault(key, value) != value:
                warnings.warn(
                    f"There are multiple '=' filters with the same key '{key}' but different values"
                    f"'{wanted[key]}' & '{value}'. Empty result set will be returned",
                    UserWarning,
                )
                return True
        return False


@dataclass
class GetApiOptions:
    timeout: int = DEFAULT_RPC_TIMEOUT
    server_timeout_multiplier: float = 0.8

    def __post_init__(self):
        self.timeout = max(1, int(self.timeout * self.server_timeout_multiplier))


@dataclass
class SummaryApiOptions:
    timeout: int = DEFAULT_RPC_TIMEOUT
    filters: Optional[List[Tuple[str, PredicateType, SupportedFilterType]]] = field(
        default_factory=list
    )
    summary_by: Optional[str] = None


@dataclass
class GetLogOptions:
    """Which log is wanted, and how much of it."""

    timeout: int
    node_id: Optional[str] = None
    node_ip: Optional[str] = None
    media_type: str = "file"
    filename: Optional[str] = None
    download_filename: str = DEFAULT_DOWNLOAD_FILENAME
    actor_id: Optional[str] = None
    task_id: Optional[str] = None
    attempt_number: int = 0
    pid: Optional[int] = None
    lines: int = 1000
    interval: Optional[float] = None
    suffix: str = "out"
    submission_id: Optional[str] = None

    def __post_init__(self):
        if self.pid:
            self.pid = int(self.pid)
        if self.interval:
            self.interval = float(self.interval)
        self.lines = int(self.lines)
        if self.media_type == "file":
            assert self.interval is None
        if self.media_type not in ["file", "stream"]:
            raise ValueError(f"Invalid media type: {self.media_type}")
        if not (self.node_id or self.node_ip) and not (self.actor_id or self.task_id):
            raise ValueError(
                "node_id or node_ip must be provided as constructor arguments when no "
                "actor or task_id is supplied as arguments."
            )
        if self.node_id and self.node_ip:
            raise ValueError(
                "Both node_id and node_ip are given. Only one of them can be provided. "
                f"Given node id: {self.node_id}, given node ip: {self.node_ip}"
            )
        which = (self.actor_id, self.task_id, self.pid, self.filename, self.submission_id)
        if not any(which):
            raise ValueError(
                "None of actor_id, task_id, pid, submission_id or filename "
                "is provided. At least one of them is required to fetch logs."
            )
        if self.suffix not in ["out", "err"]:
            raise ValueError(
                f"Invalid suffix: {self.suffix}. Must be one of 'out' or 'err'."
            )


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


class JobState(StateSchema):
    """A job: of the Jobs API, or a driver. Its columns are attributes and items."""

    _base = (
        "job_id",
        "submission_id",
        "entrypoint",
        "type",
        "status",
        "message",
        "error_type",
        "driver_info",
    )
    _detail = (
        "start_time",
        "end_time",
        "metadata",
        "runtime_env",
        "driver_agent_http_address",
        "driver_node_id",
        "driver_exit_code",
    )

    def __init__(self, **columns):
        for name in self.list_columns():
            setattr(self, name, columns.get(name))

    @classmethod
    def list_columns(cls, detail=True):
        return list(cls._base + cls._detail if detail else cls._base)

    @classmethod
    def filterable_columns(cls):
        return {"job_id", "type", "status", "submission_id"}

    def asdict(self):
        return {name: getattr(self, name) for name in self.list_columns()}

    dict = asdict

    def __eq__(self, other):
        return isinstance(other, JobState) and self.asdict() == other.asdict()

    def __repr__(self):
        return " ".join(f"{name}={value!r}" for name, value in self.asdict().items())


@dataclass(init=True)
class WorkerState(StateSchema):
    worker_id: str = _column()
    is_alive: bool = _column()
    worker_type: str = _column()
    exit_type: Optional[str] = _column()
    node_id: str = _column()
    ip: str = _column()
    pid: int = _column()
    exit_detail: Optional[str] = _column(False, True)
    worker_launch_time_ms: Optional[int] = _column(False, True)
    worker_launched_time_ms: Optional[int] = _column(False, True)
    start_time_ms: Optional[int] = _column(False, True)
    end_time_ms: Optional[int] = _column(False, True)
    debugger_port: Optional[int] = _column(True, True)
    num_paused_threads: Optional[int] = _column(True, True)


@dataclass(init=True)
class ClusterEventState(StateSchema):
    severity: str = _column()
    time: str = _column(False)
    source_type: str = _column()
    message: str = _column(False)
    event_id: str = _column()
    custom_fields: Optional[dict] = _column(False, True)


@dataclass(init=True)
class TaskState(StateSchema):
    task_id: str = _column()
    attempt_number: int = _column()
    name: str = _column()
    state: str = _column()
    job_id: str = _column()
    actor_id: Optional[str] = _column()
    type: str = _column()
    func_or_class_name: str = _column()
    parent_task_id: str = _column()
    node_id: Optional[str] = _column()
    worker_id: Optional[str] = _column()
    worker_pid: Optional[int] = _column()
    error_type: Optional[str] = _column()
    language: Optional[str] = _column(True, True)
    required_resources: Optional[dict] = _column(False, True)
    runtime_env_info: Optional[dict] = _column(False, True)
    placement_group_id: Optional[str] = _column(True, True)
    events: Optional[List[dict]] = _column(False, True)
    profiling_data: Optional[dict] = _column(False, True)
    creation_time_ms: Optional[int] = _column(False, True)
    start_time_ms: Optional[int] = _column(False, True)
    end_time_ms: Optional[int] = _column(False, True)
    task_log_info: Optional[dict] = _column(False, True)
    error_message: Optional[str] = _column(False, True)
    is_debugger_paused: Optional[bool] = _column(True, True)
    call_site: Optional[str] = _column(False, True)
    label_selector: Optional[dict] = _column(False, True)
    fallback_strategy: Optional[dict] = _column(False, True)


@dataclass(init=True)
class ObjectState(StateSchema):
    object_id: str = _column()
    object_size: int = _column()
    task_status: str = _column()
    attempt_number: int = _column()
    reference_type: str = _column()
    call_site: str = _column()
    type: str = _column()
    pid: int = _column()
    ip: str = _column()


@dataclass(init=True)
class RuntimeEnvState(StateSchema):
    runtime_env: dict = _column()
    success: bool = _column()
    creation_time_ms: Optional[float] = _column(False)
    node_id: str = _column()
    ref_cnt: Optional[int] = _column(False, True)
    error: Optional[str] = _column(True, True)


@dataclass
class ListApiResponse:
    total: int
    num_after_truncation: int
    num_filtered: int
    result: List[Dict]
    partial_failure_warning: Optional[str] = ""
    warnings: Optional[List[str]] = None


_SCHEMAS = {
    StateResource.ACTORS: ActorState,
    StateResource.JOBS: JobState,
    StateResource.PLACEMENT_GROUPS: PlacementGroupState,
    StateResource.NODES: NodeState,
    StateResource.WORKERS: WorkerState,
    StateResource.TASKS: TaskState,
    StateResource.OBJECTS: ObjectState,
    StateResource.RUNTIME_ENVS: RuntimeEnvState,
    StateResource.CLUSTER_EVENTS: ClusterEventState,
}


def resource_to_schema(resource):
    return _SCHEMAS[resource]


def dict_to_state(columns, resource):
    schema = resource_to_schema(resource)
    return schema(**{name: columns.get(name) for name in schema.list_columns()})
