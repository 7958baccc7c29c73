# SPDX-License-Identifier: Apache-2.0
"""Every exception that Ray code can raise. Names, base classes and texts are part of the API."""
import os

from ray._private import error_texts

_CYAN, _FORE_RESET = "\x1b[36m", "\x1b[39m"


class RayError(Exception):
    """Base class of all Ray exceptions."""

    def to_bytes(self):
        """A form that another process turns back with from_bytes(), even when unpickling fails."""
        import pickle
        from traceback import format_exception

        from ray import cloudpickle

        text = "\n".join(format_exception(type(self), self, self.__traceback__))
        return pickle.dumps((cloudpickle.dumps(self), text))

    @staticmethod
    def from_bytes(data):
        import pickle

        from ray import cloudpickle

        pickled, text = pickle.loads(data)
        try:
            return cloudpickle.loads(pickled)
        except Exception:
            return UnserializableException(text)


class CrossLanguageError(RayError):
    """An exception of a worker in another language."""

    def __init__(self, ray_exception):
        super().__init__(
            f"An exception raised from {ray_exception.language}:\n"
            f"{ray_exception.formatted_exception_string}"
        )


class TaskCancelledError(RayError):
    """The task was cancelled."""

    def __init__(self, task_id=None, error_message=None):
        self.task_id = task_id
        self.error_message = error_message

    def __str__(self):
        text = f"Task: {self.task_id} was cancelled. " if self.task_id else ""
        return text + (self.error_message or "")


class RayTaskError(RayError):
    """A task raised. What get() raises is of this class and, if possible, of the cause's class too."""

    def __init__(
        self,
        function_name,
        traceback_str,
        cause,
        proctitle=None,
        pid=None,
        ip=None,
        actor_repr=None,
        actor_id=None,
    ):
        import ray

        assert traceback_str is not None
        self.proctitle = proctitle or ray._raylet.getproctitle()
        self.pid = pid or os.getpid()
        self.ip = ip or ray.util.get_node_ip_address()
        self.function_name = function_name
        self.traceback_str = traceback_str
        self.actor_repr = actor_repr
        self._actor_id = actor_id
        self.cause = _picklable_cause(cause, traceback_str)
        self.args = (function_name, traceback_str, self.cause, proctitle, pid, ip)

    def make_dual_exception_instance(self):
        """An instance of a class made of RayTaskError and the cause's class. TypeError if that
        class can't be a base."""
        cause_cls = self.cause.__class__
        text = str(self)

        class cls(RayTaskError, cause_cls):
            if issubclass(cause_cls, BaseExceptionGroup):

                def __new__(cls, cause):
                    return super().__new__(cls, cause.message, cause.exceptions)

            def __init__(self, cause):
                self.cause = cause
                # Not `args` itself: the user's class may have made that read-only.
                self._ray_task_error_args = (cause,)

            @property
            def args(self):
                return self._ray_task_error_args

            @args.setter
            def args(self, value):
                self._ray_task_error_args = value

            def __reduce__(self):
                return (cls, self._ray_task_error_args)

            def __getattr__(self, name):
                return getattr(self.cause, name)

            def __str__(self):
                return text

        cls.__name__ = cls.__qualname__ = f"RayTaskError({cause_cls.__name__})"
        return cls(self.cause)

    def as_instanceof_cause(self):
        """What get() raises: the dual instance, or this one with a warning where that can't be."""
        cause_cls = self.cause.__class__
        if issubclass(RayTaskError, cause_cls):
            return self
        try:
            return self.make_dual_exception_instance()
        except TypeError as e:
            _logger().warning(
                f"User exception type {type(self.cause)} in RayTaskError can't"
                " be subclassed! This exception is raised as"
                " RayTaskError only. You can use `ray_task_error.cause` to"
                f" access the user exception. Failure in subclassing: {e}"
            )
        except Exception as e:
            _logger().warning(
                "Failed to combine RayTaskError with user exception type "
                f"{type(self.cause)}; raising RayTaskError only. This can "
                "happen when the user exception overrides attributes like "
                "`args` or otherwise blocks subclass construction. "
                f"Failure in subclassing: {e}"
            )
        return self

    def __str__(self):
        where = f"(pid={self.pid}, ip={self.ip}"
        if self.actor_repr:
            where += f", actor_id={self._actor_id}, repr={self.actor_repr}"
        header = f"{_CYAN}{self.proctitle}(){_FORE_RESET} {where})"
        hide_data = isinstance(self.cause, UserCodeException)
        return "\n".join(error_texts.user_lines(self.traceback_str, header, hide_data))


def _picklable_cause(cause, traceback_str):
    """The cause, or where it can't travel a RayError that says why and what it was."""
    import pickle

    from ray import cloudpickle

    try:
        cloudpickle.dumps(cause)
        return cause
    except (pickle.PicklingError, TypeError) as e:
        name = f"{cause.__class__.__module__}.{cause.__class__.__name__}"
        _logger().exception(f"The original cause of the RayTaskError ({name}) isn't serializable.")
        return RayError(
            f"Exception {name} isn't serializable: {e}.\n"
            f"Original exception details:\n{traceback_str}"
        )


def _logger():
    import logging

    return logging.getLogger(__name__)


class LocalRayletDiedError(RayError):
    """The raylet of the task's node died."""

    def __str__(self):
        return "The task's local raylet died. Check raylet.out for more information."


class WorkerCrashedError(RayError):
    """The worker died while it ran the task."""

    def __str__(self):
        return (
            "The worker died unexpectedly while executing this task. "
            "Check python-core-worker-*.log files for more information."
        )


class RayActorError(RayError):
    """The actor is dead or out of reach; get() raises one of the two subclasses."""

    BASE_ERROR_MSG = "The actor experienced an error before finishing this task."

    def __init__(
        self, actor_id=None, error_msg=BASE_ERROR_MSG, actor_init_failed=False, preempted=False
    ):
        self.actor_id = actor_id
        self.error_msg = error_msg
        self._actor_init_failed = actor_init_failed
        self._preempted = preempted

    def __str__(self):
        return self.error_msg

    @property
    def preempted(self):
        return self._preempted

    @property
    def actor_init_failed(self):
        return self._actor_init_failed


class ActorDiedError(RayActorError):
    """The actor is dead: before the task, or while it ran."""

    BASE_ERROR_MSG = error_texts.ACTOR_DIED

    def __init__(self, cause=None):
        """`cause`: the RayTaskError of __init__, an ActorDeath, or None when it isn't known."""
        if not cause:
            super().__init__(None, ActorDiedError.BASE_ERROR_MSG)
        elif isinstance(cause, RayTaskError):
            text = f"The actor died because of an error raised in its creation task, {cause}"
            super().__init__(cause._actor_id, text, actor_init_failed=True)
        else:
            assert isinstance(cause, error_texts.ActorDeath)
            super().__init__(cause.actor_id, str(cause), preempted=bool(cause.preempted))

    @staticmethod
    def from_task_error(task_error):
        return ActorDiedError(task_error)


class ActorUnavailableError(RayActorError):
    """The actor can't be reached now and may be later."""

    def __init__(self, error_message, actor_id):
        hex_id = bytes(actor_id).hex() if actor_id is not None else None
        super().__init__(
            hex_id,
            f"The actor {hex_id} is unavailable: {error_message}. The task may or "
            "may not have been executed on the actor.",
        )


class RaySystemError(RayError):
    """Ray itself failed."""

    def __init__(self, client_exc, traceback_str=None):
        self.client_exc = client_exc
        self.traceback_str = traceback_str

    def __str__(self):
        text = f"System error: {self.client_exc}"
        return f"{text}\ntraceback: {self.traceback_str}" if self.traceback_str else text


class AuthenticationError(RayError):
    """The token of the cluster is missing here, or another one."""

    def __init__(self, message):
        self.message = message
        self.__suppress_context__ = True
        super().__init__(message)

    def __str__(self):
        mode = os.environ.get("RAY_AUTH_MODE", "disabled").lower()
        note = ""
        if mode != "token":
            note = f" Note: RAY_AUTH_MODE is currently '{mode}' (not 'token')."
        return (
            f"{self.message}.{note}"
            " Ensure that the token for the cluster is available in a local file (e.g., ~/.ray/auth_token or via "
            "RAY_AUTH_TOKEN_PATH) or as the `RAY_AUTH_TOKEN` environment variable. "
            "To generate a token for local development, use `ray get-auth-token --generate` "
            "For remote clusters, ensure that the token is propagated to all nodes of the cluster when token authentication is enabled. "
            "For more information, see: https://docs.ray.io/en/latest/ray-security/token-auth.html"
        )


class UserCodeException(RayError):
    """Wraps an exception of user code inside a library; retry_exceptions looks at its cause."""


class ObjectStoreFullError(RayError):
    """The object store has no room, also after waiting."""

    def __str__(self):
        return super().__str__() + (
            "\n"
            "The local object store is full of objects that are still in "
            "scope and cannot be evicted. Tip: Use the `ray memory` command "
            "to list active objects in the cluster."
        )


class OutOfDiskError(RayError):
    """Neither the object store nor the disk has room."""

    def __str__(self):
        return super().__str__() + (
            "\n"
            "The object cannot be created because the local object store"
            " is full and the local disk's utilization is over capacity"
            " (95% by default)."
            "Tip: Use `df` on this node to check disk usage and "
            "`ray memory` to check object store memory usage."
        )


class OutOfMemoryError(RayError):
    """The node ran low on memory and the worker was killed."""

    def __init__(self, message):
        self.message = message

    def __str__(self):
        return self.message


class NodeDiedError(RayError):
    """The node died or can't be reached."""

    def __init__(self, message):
        self.message = message

    def __str__(self):
        return self.message


class ObjectLostError(RayError):
    """All copies of an object are gone."""

    def __init__(self, object_ref_hex, owner_address, call_site):
        self.object_ref_hex = object_ref_hex
        self.owner_address = owner_address
        self.call_site = call_site.replace("|", "\n  ")

    def _base_str(self):
        text = f"Failed to retrieve object {self.object_ref_hex}. "
        if self.call_site:
            return text + f"The ObjectRef was created at: {self.call_site}"
        return text + (
            "To see information about where this ObjectRef was created "
            "in Python, set the environment variable "
            "RAY_record_ref_creation_sites=1 during `ray start` and "
            "`ray.init()`."
        )

    def _reason(self):
        return (
            f"All copies of {self.object_ref_hex} have been lost due to node "
            "failure. Check cluster logs (`/tmp/ray/session_latest/logs`) for "
            "more information about the failure."
        )

    def __str__(self):
        return f"{self._base_str()}\n\n{self._reason()}"


class ObjectFetchTimedOutError(ObjectLostError):
    """No location of the object was found in time."""

    def _reason(self):
        return (
            f"Fetch for object {self.object_ref_hex} timed out because no "
            "locations were found for the object. This may indicate a "
            "system-level bug."
        )


class RpcError(RayError):
    """A call between processes failed."""

    def __init__(self, message, rpc_code=None):
        self.message = message
        self.rpc_code = rpc_code

    def __str__(self):
        return self.message


class ReferenceCountingAssertionError(ObjectLostError, AssertionError):
    """The object was deleted while a reference existed."""

    def _reason(self):
        return (
            "The object has already been deleted by the reference counting "
            "protocol. This should not happen."
        )


class ObjectFreedError(ObjectLostError):
    """The application freed the object itself."""

    def _reason(self):
        return (
            "The object was manually freed using the internal `free` call. "
            "Please ensure that `free` is only called once the object is no "
            "longer needed."
        )


class OwnerDiedError(ObjectLostError):
    """The process that owned the object exited."""

    def _reason(self):
        where = "`/tmp/ray/session_latest/logs`"
        owner = None
        if self.owner_address:
            from ray._private.address import describe_owner

            owner, where = describe_owner(self.owner_address, where)
        return (
            "The object's owner has exited. This is the Python "
            "worker that first created the ObjectRef via `.remote()` or "
            "`ray.put()`. "
            f"Check cluster logs ({where}) for more "
            "information about the Python worker failure." + (f"\n\n{owner}" if owner else "")
        )


class ObjectReconstructionFailedError(ObjectLostError):
    """The object is lost and can't be computed again."""

    REASON_MESSAGES = {
        "OBJECT_UNRECONSTRUCTABLE_MAX_ATTEMPTS_EXCEEDED": (
            "The object cannot be reconstructed because the maximum number of "
            "task retries has been exceeded. "
            "Consider increasing the number of retries using `@ray.remote(max_retries=N)`."
        ),
        "OBJECT_UNRECONSTRUCTABLE_LINEAGE_EVICTED": (
            "The object cannot be reconstructed because its lineage has been "
            "evicted to reduce memory pressure. "
            "To prevent this error, set the environment variable "
            "RAY_max_lineage_bytes=<bytes> (default 1GB) during `ray start`."
        ),
        "OBJECT_UNRECONSTRUCTABLE_PUT": (
            "The object cannot be reconstructed because it was created by "
            "ray.put(), which has no task lineage. "
            "To prevent this error, return the value from a task instead."
        ),
        "OBJECT_UNRECONSTRUCTABLE_RETRIES_DISABLED": (
            "The object cannot be reconstructed because the task was created "
            "with max_retries=0. "
            "Consider enabling retries using `@ray.remote(max_retries=N)`."
        ),
        "OBJECT_UNRECONSTRUCTABLE_BORROWED": (
            "The object cannot be reconstructed because it crossed an ownership "
            "boundary. Only the owner of an object can trigger reconstruction, "
            "but this worker borrowed the object from another worker."
        ),
        "OBJECT_UNRECONSTRUCTABLE_REF_NOT_FOUND": (
            "The object cannot be reconstructed because its reference was "
            "not found in the reference counter. "
            "Please file an issue at https://github.com/ray-project/ray/issues."
        ),
        "OBJECT_UNRECONSTRUCTABLE_TASK_CANCELLED": (
            "The object cannot be reconstructed because the task that would "
            "produce it was cancelled."
        ),
        "OBJECT_UNRECONSTRUCTABLE_LINEAGE_DISABLED": (
            "The object cannot be reconstructed because lineage reconstruction "
            "is disabled system-wide (object_reconstruction_enabled=False)."
        ),
    }

    def __init__(
        self, object_ref_hex, reason=None, reason_message=None, owner_address=None, call_site=""
    ):
        super().__init__(object_ref_hex, owner_address, call_site)
        self.reason = reason
        self.reason_message = reason_message or self.REASON_MESSAGES.get(
            reason,
            "Unknown error reason. This should not happen, please file an issue "
            "at https://github.com/ray-project/ray/issues.",
        )

    def _reason(self):
        return f"[{self.reason or 'UNKNOWN'}] {self.reason_message}"


class GetTimeoutError(RayError, TimeoutError):
    """get() ran out of time."""


class PlasmaObjectNotAvailable(RayError):
    """The object did not come in the given time."""


class AsyncioActorExit(RayError):
    """How exit_actor() leaves an asyncio actor."""


class RuntimeEnvSetupError(RayError):
    """The runtime environment could not be made."""

    def __init__(self, error_message=None):
        self.error_message = error_message

    def __str__(self):
        text = "Failed to set up runtime environment."
        return f"{text}\n{self.error_message}" if self.error_message else text


class TaskPlacementGroupRemoved(RayError):
    """The placement group of the task was removed."""

    def __str__(self):
        return "The placement group corresponding to this task has been removed."


class ActorPlacementGroupRemoved(RayError):
    """The placement group of the actor was removed."""

    def __str__(self):
        return "The placement group corresponding to this Actor has been removed."


class PendingCallsLimitExceeded(RayError):
    """More calls are pending on the handle than `max_pending_calls` allows."""


class TaskUnschedulableError(RayError):
    """No node can ever run the task."""

    def __init__(self, error_message):
        self.error_message = error_message

    def __str__(self):
        return f"The task is not schedulable: {self.error_message}"


class ActorUnschedulableError(RayError):
    """No node can ever run the actor."""

    def __init__(self, error_message):
        self.error_message = error_message

    def __str__(self):
        return f"The actor is not schedulable: {self.error_message}"


class ObjectRefStreamEndOfStreamError(RayError):
    """A streaming generator has no more references."""


class StreamingGeneratorReplayInconsistentError(RaySystemError):
    """A retried generator produced another number of objects than before."""


class OufOfBandObjectRefSerializationException(RayError):
    """An ObjectRef was pickled outside of Ray while that is forbidden."""


class RayChannelError(RaySystemError):
    """A channel of a compiled graph failed."""


class RayChannelTimeoutError(RayChannelError, TimeoutError):
    """An operation on such a channel ran out of time."""


class RayCgraphCapacityExceeded(RaySystemError):
    """The buffer of such a channel is full."""


class RayDirectTransportError(RaySystemError):
    """A direct transfer of tensors failed."""


class UnserializableException(RayError):
    """An exception arrived that can't be unpickled here; this carries its text."""

    def __init__(self, original_stack_trace):
        self._original_stack_trace = original_stack_trace

    def __str__(self):
        return (
            "Failed to deserialize exception. Refer to https://docs.ray.io/en/latest/ray-core/objects/serialization.html#custom-serializers-for-exceptions for more information.\n"
            "Original exception:\n"
            f"{self._original_stack_trace}"
        )


class _ValueAndRayError(ValueError, RayError):
    """A sentence that older code catches as ValueError."""

    def __init__(self, error_message):
        super().__init__(error_message)
        self.error_message = error_message

    def __str__(self):
        return self.error_message


class ActorAlreadyExistsError(_ValueAndRayError):
    """An actor of that name lives in the namespace."""


class ActorHandleNotFoundError(_ValueAndRayError):
    """The handle belongs to another session."""


RAY_EXCEPTION_TYPES = [
    PlasmaObjectNotAvailable,
    RayError,
    RayTaskError,
    WorkerCrashedError,
    RayActorError,
    ObjectStoreFullError,
    ObjectLostError,
    ObjectFetchTimedOutError,
    ReferenceCountingAssertionError,
    ObjectReconstructionFailedError,
    OwnerDiedError,
    GetTimeoutError,
    AsyncioActorExit,
    RuntimeEnvSetupError,
    TaskPlacementGroupRemoved,
    ActorPlacementGroupRemoved,
    PendingCallsLimitExceeded,
    LocalRayletDiedError,
    TaskUnschedulableError,
    ActorDiedError,
    ActorUnschedulableError,
    ActorUnavailableError,
    RayChannelError,
    RayChannelTimeoutError,
    OufOfBandObjectRefSerializationException,
    RayCgraphCapacityExceeded,
    UnserializableException,
    ActorAlreadyExistsError,
    ActorHandleNotFoundError,
    AuthenticationError,
]
