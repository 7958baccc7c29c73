# SPDX-License-Identifier: Apache-2.0
"""What the running code can know of its task, actor, job and node."""
from ray import _mobula
from ray._private import worker as _worker


def _logger():
    from ray._private import logging_setup

    logging_setup.ensure()
    import logging

    return logging.getLogger(__name__)


def _deprecated(use):
    import warnings

    warnings.warn(use, DeprecationWarning, stacklevel=3)


class RuntimeContext:
    """The one of this process: `ray.get_runtime_context()`."""

    def __init__(self, worker):
        self.worker = worker

    # ---- ids ----

    def get_job_id(self):
        self._need("Job ID is")
        return self.worker.current_job_id.hex()

    def get_node_id(self):
        self._need("Node ID is")
        return self.worker.current_node_id.hex()

    def get_worker_id(self):
        self._need("Worker ID is")
        return self.worker.worker_id.hex()

    def get_session_name(self):
        self._need("Session name is")
        return _mobula.info()["session_name"]

    def get_temp_dir(self):
        import os

        assert _mobula.is_connected(), (
            "Temp directory is not available because Ray has not been initialized."
        )
        return os.path.dirname(_mobula.info()["session_dir"])

    def _need(self, what):
        if not _mobula.is_connected():
            raise RuntimeError(f"{what} not available because Ray has not been initialized.")

    def _on_worker(self):
        if self.worker.mode == _worker.WORKER_MODE:
            return True
        _logger().warning(
            "This method is only available when the process is a "
            f"worker. Current mode: {self.worker.mode}"
        )
        return False

    def get_task_id(self):
        return self.worker.current_task_id.hex() if self._on_worker() else None

    def get_task_name(self):
        return self.worker.current_task_name if self._on_worker() else None

    def get_task_function_name(self):
        return self.worker.current_task_function_name if self._on_worker() else None

    def get_actor_id(self):
        if self.worker.mode != _worker.WORKER_MODE:
            return None
        actor = self.worker.actor_id
        return None if actor.is_nil() else actor.hex()

    def get_actor_name(self):
        if not self._on_worker():
            return None
        return None if self.worker.actor_id.is_nil() else self.worker.actor_name

    def get_placement_group_id(self):
        group = self.worker.placement_group_id
        return None if group.is_nil() else group.hex()

    @property
    def should_capture_child_tasks_in_placement_group(self):
        return self.worker.should_capture_child_tasks_in_placement_group

    # ---- deprecated forms ----

    def get(self):
        _deprecated("Use get_xxx_id() methods to get relevant ids instead")
        context = {
            "job_id": self.worker.current_job_id,
            "node_id": self.worker.current_node_id,
            "namespace": self.namespace,
        }
        if self.worker.mode == _worker.WORKER_MODE:
            context["task_id"] = self.worker.current_task_id
            if not self.worker.actor_id.is_nil():
                context["actor_id"] = self.worker.actor_id
        return context

    @property
    def current_placement_group_id(self):
        _deprecated("Use get_placement_group_id() instead")
        return self.worker.placement_group_id

    @property
    def job_id(self):
        _deprecated("Use get_job_id() instead")
        return self.worker.current_job_id

    @property
    def node_id(self):
        _deprecated("Use get_node_id() instead")
        return self.worker.current_node_id

    @property
    def task_id(self):
        _deprecated("Use get_task_id() instead")
        return self.worker.current_task_id

    @property
    def actor_id(self):
        _deprecated("Use get_actor_id() instead")
        actor = self.worker.actor_id
        return None if actor.is_nil() else actor

    # ---- the rest ----

    @property
    def namespace(self):
        return self.worker.namespace

    @property
    def was_current_actor_reconstructed(self):
        assert not self.worker.actor_id.is_nil(), (
            "This method should't be called inside Ray tasks."
        )
        from ray._private.state import actors

        mine = actors(self.worker.actor_id.hex())
        return bool(mine) and mine["NumRestarts"] != 0

    def get_assigned_resources(self):
        assert self.worker.mode == _worker.WORKER_MODE, (
            "This method is only available when the process is a                 "
            f"worker. Current mode: {self.worker.mode}"
        )
        self.worker.check_connected()
        return dict(_worker.assigned().get("resources") or {})

    def get_runtime_env_string(self):
        return self.worker.runtime_env

    @property
    def runtime_env(self):
        import json

        from ray.runtime_env import RuntimeEnv

        return RuntimeEnv(**json.loads(self.get_runtime_env_string()))

    @property
    def current_actor(self):
        self.worker.check_connected()
        actor = self.worker.actor_id
        if actor.is_nil():
            raise RuntimeError("This method is only available in an actor.")
        from ray._private.execution import own_handle

        return own_handle(actor)

    @property
    def gcs_address(self):
        self.worker.check_connected()
        return _mobula.info()["gcs_address"]

    def get_accelerator_ids(self):
        self.worker.check_connected()
        ids = self.worker.get_accelerator_ids_for_accelerator_resource
        return {name: [str(i) for i in ids(name, "")] for name in _ACCELERATORS}

    def get_resource_ids(self):
        _deprecated("Use get_accelerator_ids() instead")
        return self.get_accelerator_ids()

    def get_node_labels(self):
        self.worker.check_connected()
        return self.worker.current_node_labels

    def is_canceled(self):
        if self.worker.mode != _worker.WORKER_MODE:
            raise RuntimeError(
                "This method is only available when the process is a "
                f"worker. Current mode: {self.worker.mode}"
            )
        from ray._private import execution

        if execution.is_async_call():
            raise RuntimeError("This method is not supported in an async actor.")
        return _mobula.task_cancelled(execution.current.get())


_ACCELERATORS = (
    "GPU",
    "TPU",
    "HPU",
    "NPU",
    "neuron_cores",
    "FURIOSA",
    "MBLT",
    "RBLN",
    "TTNPU",
)

_runtime_context = RuntimeContext(_worker.global_worker)


def get_runtime_context():
    """The RuntimeContext of this process."""
    return _runtime_context
