# SPDX-License-Identifier: Apache-2.0
"""Jobs as the Jobs API tells them: records with the interface of pydantic's models, without it."""
import json
from enum import Enum

from ray.dashboard.modules.job.common import JobStatus

_REQUIRED = object()


def _optional(kind):
    return kind, None


def _required(kind):
    return kind, _REQUIRED


class _Record:
    """Fields of given types, by name; what is not named is not kept."""

    _fields = {}  # name -> (type or None, default)

    def __init__(self, **values):
        missing = [
            name
            for name, (_, default) in self._fields.items()
            if default is _REQUIRED and name not in values
        ]
        if missing:
            raise ValueError(f"{type(self).__name__} needs the fields {', '.join(missing)}")
        for name, (kind, default) in self._fields.items():
            value = values.get(name, default)
            if value is not None and kind is not None and not isinstance(value, kind):
                value = kind(**value) if isinstance(value, dict) else kind(value)
            setattr(self, name, value)

    def __iter__(self):
        return ((name, getattr(self, name)) for name in self._fields)

    def __eq__(self, other):
        return type(self) is type(other) and list(self) == list(other)

    __hash__ = None

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self)})"

    def __str__(self):
        return " ".join(f"{name}={value!r}" for name, value in self)

    def model_dump(self, *, mode="python", exclude_none=False):
        """The fields as a dict, records in it too; of JSON's types only with mode="json"."""
        result = {}
        for name, value in self:
            if value is None and exclude_none:
                continue
            if isinstance(value, _Record):
                value = value.model_dump(mode=mode, exclude_none=exclude_none)
            elif mode == "json" and isinstance(value, Enum):
                value = value.value
            result[name] = value
        return result

    def model_dump_json(self, *, indent=None, exclude_none=False):
        separators = (",", ":") if indent is None else None
        fields = self.model_dump(mode="json", exclude_none=exclude_none)
        return json.dumps(fields, indent=indent, separators=separators, ensure_ascii=False)

    @classmethod
    def model_validate(cls, obj):
        return obj if isinstance(obj, cls) else cls(**obj)

    def model_copy(self, *, update=None):
        return type(self)(**{**dict(self), **(update or {})})

    # Under their old names.
    def dict(self, *, exclude_none=False):
        return self.model_dump(exclude_none=exclude_none)

    def json(self, *, exclude_none=False):
        return self.model_dump_json(exclude_none=exclude_none)

    def copy(self, *, update=None):
        return self.model_copy(update=update)

    @classmethod
    def parse_obj(cls, obj):
        return cls.model_validate(obj)


class DriverInfo(_Record):
    """The driver of a job: the id of its Ray job, and where it runs."""

    _fields = {"id": _required(str), "node_ip_address": _required(str), "pid": _required(str)}


class JobType(str, Enum):
    """How a job came to be: by the Jobs API, or as a driver that connected."""

    SUBMISSION = "SUBMISSION"
    DRIVER = "DRIVER"


class JobDetails(_Record):
    """One job. Times are in milliseconds since 1970; what is not known is None."""

    _fields = {
        "type": _required(JobType),
        "job_id": _optional(str),
        "submission_id": _optional(str),
        "driver_info": _optional(DriverInfo),
        "status": _required(JobStatus),
        "entrypoint": _required(str),
        "message": _optional(str),
        "error_type": _optional(str),
        "start_time": _optional(int),
        "end_time": _optional(int),
        "metadata": _optional(None),
        "runtime_env": _optional(None),
        "driver_agent_http_address": _optional(str),
        "driver_node_id": _optional(str),
        "driver_exit_code": _optional(int),
    }
