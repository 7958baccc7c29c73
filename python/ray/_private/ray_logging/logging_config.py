# SPDX-License-Identifier: Apache-2.0
"""Structured logging of a job: `ray.init(logging_config=ray.LoggingConfig(encoding="JSON"))`."""
import json
import logging

_STANDARD = set(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime"}
_applied = None  # our handler of the root logger


def _context():
    """What every record carries: where it was logged."""
    from ray import _mobula
    from ray._private.worker import WORKER_MODE, global_worker

    if not _mobula.is_connected():
        return {}
    context = {
        "job_id": global_worker.current_job_id.hex(),
        "worker_id": global_worker.worker_id.hex(),
        "node_id": global_worker.current_node_id.hex(),
    }
    if global_worker.mode == WORKER_MODE:
        context["task_id"] = global_worker.current_task_id.hex()
        context["task_name"] = global_worker.current_task_name
        context["task_func_name"] = global_worker.current_task_function_name
        if not global_worker.actor_id.is_nil():
            context["actor_id"] = global_worker.actor_id.hex()
            context["actor_name"] = global_worker.actor_name
    return context


class _Formatter(logging.Formatter):
    def __init__(self, attributes):
        super().__init__("%(asctime)s\t%(levelname)s %(filename)s:%(lineno)s -- %(message)s")
        self._attributes = attributes

    def _fields(self, record):
        fields = {name: getattr(record, name, None) for name in self._attributes}
        fields.update((k, v) for k, v in vars(record).items() if k not in _STANDARD)
        fields.update(_context())
        fields["timestamp_ns"] = int(record.created * 1e9)
        return fields


class TextFormatter(_Formatter):
    def format(self, record):
        text = super().format(record)
        return text + " " + " ".join(f"{k}={v}" for k, v in self._fields(record).items())


class JSONFormatter(_Formatter):
    def format(self, record):
        entry = {
            "asctime": self.formatTime(record),
            "levelname": record.levelname,
            "message": record.getMessage(),
            "filename": record.filename,
            "lineno": record.lineno,
            "process": record.process,
        }
        if record.exc_info:
            entry["exc_text"] = self.formatException(record.exc_info)
        return json.dumps({**entry, **self._fields(record)}, default=str)


_FORMATTERS = {"TEXT": TextFormatter, "JSON": JSONFormatter}


class LoggingConfig:
    """How the root logger and Ray's own write."""

    def __init__(self, encoding="TEXT", log_level="INFO", additional_log_standard_attrs=()):
        if encoding not in _FORMATTERS:
            raise ValueError(
                f"Invalid encoding type: {encoding}. Valid encoding types are: {list(_FORMATTERS)}"
            )
        for name in additional_log_standard_attrs:
            if name not in _STANDARD:
                raise ValueError(
                    f"Unknown python logging standard attribute: {name}. "
                    f"The valid attributes are: {_STANDARD}"
                )
        self.encoding = encoding
        self.log_level = log_level
        self.additional_log_standard_attrs = list(additional_log_standard_attrs)

    def to_dict(self):
        return dict(vars(self))

    def __repr__(self):
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"LoggingConfig({fields})"

    def __eq__(self, other):
        return isinstance(other, LoggingConfig) and vars(self) == vars(other)

    @classmethod
    def from_dict(cls, fields):
        names = ("encoding", "log_level", "additional_log_standard_attrs")
        return cls(**{name: fields[name] for name in names if name in fields})

    def _apply(self):
        global _applied
        handler = logging.StreamHandler()
        handler.setLevel(self.log_level)
        handler.setFormatter(_FORMATTERS[self.encoding](self.additional_log_standard_attrs))
        root, ray_logger = logging.getLogger(), logging.getLogger("ray")
        if _applied is not None:  # of an earlier session, or of another job of this worker
            root.removeHandler(_applied)
        _applied = handler
        root.setLevel(self.log_level)
        root.addHandler(handler)
        ray_logger.setLevel(self.log_level)
        ray_logger.handlers[:] = [handler]
        ray_logger.propagate = False
