# SPDX-License-Identifier: Apache-2.0
"""What a job may be, and what may be asked of one."""
import dataclasses
import json
from enum import Enum
from typing import Any, Dict, Optional, Union

JOB_ID_METADATA_KEY = "job_submission_id"
JOB_NAME_METADATA_KEY = "job_name"
JOB_LOGS_PATH_TEMPLATE = "job-driver-{submission_id}.log"


class JobStatus(str, Enum):
    """Where a job is in its life."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    def __str__(self):
        return self.value

    def is_terminal(self):
        """Is it the last one?"""
        return self in (JobStatus.STOPPED, JobStatus.SUCCEEDED, JobStatus.FAILED)


class JobErrorType(str, Enum):
    """Why a job failed."""

    RUNTIME_ENV_SETUP_FAILURE = "RUNTIME_ENV_SETUP_FAILURE"
    JOB_SUPERVISOR_ACTOR_START_TIMEOUT = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"
    JOB_SUPERVISOR_ACTOR_START_FAILURE = "JOB_SUPERVISOR_ACTOR_START_FAILURE"
    JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE = "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE"
    JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE = "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE"
    JOB_SUPERVISOR_ACTOR_DIED = "JOB_SUPERVISOR_ACTOR_DIED"
    JOB_ENTRYPOINT_COMMAND_START_ERROR = "JOB_ENTRYPOINT_COMMAND_START_ERROR"
    JOB_ENTRYPOINT_COMMAND_ERROR = "JOB_ENTRYPOINT_COMMAND_ERROR"


_USUAL_MESSAGES = {
    JobStatus.PENDING: "Job has not started yet.",
    JobStatus.RUNNING: "Job is currently running.",
    JobStatus.STOPPED: "Job was intentionally stopped.",
    JobStatus.SUCCEEDED: "Job finished successfully.",
    JobStatus.FAILED: "Job failed.",
}


@dataclasses.dataclass
class JobInfo:
    """A job as the cluster keeps it. Times are in milliseconds since 1970."""

    status: JobStatus
    entrypoint: str
    message: Optional[str] = None
    error_type: Optional[JobErrorType] = None
    start_time: Optional[int] = None
    end_time: Optional[int] = None
    metadata: Optional[Dict[str, str]] = None
    runtime_env: Optional[Dict[str, Any]] = None
    entrypoint_num_cpus: Optional[Union[int, float]] = None
    entrypoint_num_gpus: Optional[Union[int, float]] = None
    entrypoint_memory: Optional[int] = None
    entrypoint_resources: Optional[Dict[str, float]] = None
    driver_agent_http_address: Optional[str] = None
    driver_node_id: Optional[str] = None
    driver_exit_code: Optional[int] = None

    def __post_init__(self):
        self.status = JobStatus(self.status)
        if self.message is None:
            self.message = self._usual_message()

    def _usual_message(self):
        message = _USUAL_MESSAGES[self.status]
        if self.status != JobStatus.PENDING:
            return message
        amounts = (self.entrypoint_num_cpus, self.entrypoint_num_gpus, self.entrypoint_memory)
        if any((amount or 0) > 0 for amount in amounts) or self.entrypoint_resources:
            message += (
                " It may be waiting for resources "
                "(CPUs, GPUs, memory, custom resources) to become available."
            )
        if self.runtime_env:
            message += " It may be waiting for the runtime environment to be set up."
        return message

    def to_json(self):
        """As JSON's types; the runtime environment as a text of its own."""
        fields = dataclasses.asdict(self)
        fields["status"] = str(self.status)
        fields["error_type"] = JobErrorType(self.error_type).value if self.error_type else None
        env = fields.pop("runtime_env")
        if env is not None:
            fields["runtime_env_json"] = json.dumps(env)
        return fields

    @classmethod
    def from_json(cls, json_dict):
        fields = dict(json_dict)
        error_type = fields.get("error_type")
        fields["error_type"] = JobErrorType(error_type) if error_type else None
        env = fields.pop("runtime_env_json", None)
        if env is not None:
            fields["runtime_env"] = json.loads(env)
        return cls(**fields)


# ---- requests and answers ------------------------------------------------------------------------


def _check(name, value, kind, words):
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} must be {words}, got {type(value)}")


def _check_dict(name, value, kind=None, words=None):
    """A dict of texts; its values are of `kind` too, where one is given."""
    _check(name, value, dict, "a dict")
    for key, item in (value or {}).items():
        if not isinstance(key, str):
            raise TypeError(f"{name} keys must be strings, got {type(key)}")
        if kind is not None and not isinstance(item, kind):
            raise TypeError(f"{name} values must be {words}, got {type(item)}")


@dataclasses.dataclass
class JobSubmitRequest:
    """The body of POST /api/jobs/, checked."""

    entrypoint: str
    submission_id: Optional[str] = None
    job_id: Optional[str] = None
    runtime_env: Optional[Dict[str, Any]] = None
    metadata: Optional[Dict[str, str]] = None
    entrypoint_num_cpus: Optional[Union[int, float]] = None
    entrypoint_num_gpus: Optional[Union[int, float]] = None
    entrypoint_memory: Optional[int] = None
    entrypoint_resources: Optional[Dict[str, float]] = None
    entrypoint_label_selector: Optional[Dict[str, str]] = None

    def __post_init__(self):
        if not isinstance(self.entrypoint, str):
            raise TypeError(f"entrypoint must be a string, got {type(self.entrypoint)}")
        _check("submission_id", self.submission_id, str, "a string if provided")
        _check("job_id", self.job_id, str, "a string if provided")
        _check_dict("runtime_env", self.runtime_env)
        _check_dict("metadata", self.metadata, str, "strings")
        _check("entrypoint_num_cpus", self.entrypoint_num_cpus, (int, float), "a number")
        _check("entrypoint_num_gpus", self.entrypoint_num_gpus, (int, float), "a number")
        _check("entrypoint_memory", self.entrypoint_memory, int, "an integer")
        _check_dict("entrypoint_resources", self.entrypoint_resources, (int, float), "numbers")
        _check_dict("entrypoint_label_selector", self.entrypoint_label_selector, str, "strings")


@dataclasses.dataclass
class JobSubmitResponse:
    job_id: str
    submission_id: str


@dataclasses.dataclass
class JobStopResponse:
    stopped: bool


@dataclasses.dataclass
class JobDeleteResponse:
    deleted: bool


@dataclasses.dataclass
class JobLogsResponse:
    logs: str
