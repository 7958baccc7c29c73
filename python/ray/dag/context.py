# SPDX-License-Identifier: Apache-2.0
"""Settings of compiled graphs, kept for programs that set them."""
import dataclasses
import os

_current = None


def _setting(name, default, kind=int):
    def read():
        return kind(os.environ.get(f"RAY_CGRAPH_{name}", default))

    return dataclasses.field(default_factory=read)


def _flag(text):
    return str(text).lower() in ("1", "true")


@dataclasses.dataclass
class DAGContext:
    """Times are in seconds. RAY_CGRAPH_<name> in the environment sets a default."""

    submit_timeout: int = _setting("submit_timeout", 10)
    get_timeout: int = _setting("get_timeout", 10)
    teardown_timeout: int = _setting("teardown_timeout", 30)
    read_iteration_timeout: float = _setting("read_iteration_timeout_s", 0.1, float)
    buffer_size_bytes: int = _setting("buffer_size_bytes", 1000000)
    max_inflight_executions: int = _setting("max_inflight_executions", 10)
    max_buffered_results: int = _setting("max_buffered_results", 1000)
    overlap_gpu_communication: bool = _setting("overlap_gpu_communication", "0", _flag)

    def __post_init__(self):
        if self.read_iteration_timeout > self.get_timeout:
            raise ValueError(
                f"RAY_CGRAPH_read_iteration_timeout_s ({self.read_iteration_timeout}) must be "
                f"less than or equal to RAY_CGRAPH_get_timeout ({self.get_timeout})"
            )

    @staticmethod
    def get_current():
        """The one of this process."""
        global _current
        if _current is None:
            _current = DAGContext()
        return _current
