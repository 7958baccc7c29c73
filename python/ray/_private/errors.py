# SPDX-License-Identifier: Apache-2.0
"""From the runtime's errors to Ray's exceptions."""
from ray import exceptions as ray_exceptions
from ray._private.error_texts import ActorDeath

# ErrorKind of schema/messages.txt.
APPLICATION = 1
WORKER_CRASHED = 2
ACTOR_DIED = 3
ACTOR_UNAVAILABLE = 4
OBJECT_LOST = 5
OWNER_DIED = 6
TASK_CANCELLED = 7
OBJECT_FREED = 8
ENV_SETUP = 9
OUT_OF_MEMORY = 10
NODE_DIED = 11
TASK_UNSCHEDULABLE = 12
ACTOR_UNSCHEDULABLE = 13
STORE_FULL = 14
OUT_OF_DISK = 15
GROUP_REMOVED = 16
RAYLET_DIED = 17
PENDING_CALLS = 18
RECONSTRUCTION = 19
END_OF_STREAM = 20
SYSTEM = 21
FETCH_TIMED_OUT = 22
REPLAY = 23


def error(ref, info):
    """The exception that get() raises for `ref` (may be None); `info` is an ErrorInfo as a dict."""
    make = _MAKERS.get(info["kind"])
    if make is None:
        return ray_exceptions.RaySystemError(info["text"] or "unknown error")
    return make(ref, info)


def _application(ref, info):
    cause = ray_exceptions.RayError.from_bytes(info["data"])
    if isinstance(cause, ray_exceptions.RayTaskError):
        return cause.as_instanceof_cause()
    return cause


def _actor_died(ref, info):
    text = info["text"]
    if info["data"]:  # an encoded error of its own: how __init__ ended
        from ray import _mobula

        inner = _mobula.decode_error(info["data"])
        if inner["data"]:
            cause = ray_exceptions.RayError.from_bytes(inner["data"])
            if isinstance(cause, ray_exceptions.RayTaskError):
                cause._actor_id = info["actor"].hex()
                return ray_exceptions.ActorDiedError(cause)
            return cause
        text = inner["text"]  # by exit_actor()
    return ray_exceptions.ActorDiedError(
        ActorDeath(
            class_name=info["class_name"],
            actor_id=info["actor"].hex(),
            pid=info["pid"],
            name=info["actor_name"],
            ray_namespace=info["namespace"],
            node_ip_address=info["ip"],
            error_message=text,
            never_started=info["never_started"],
        )
    )


def _lost(kind):
    def make(ref, info):
        owner = ref.owner_address() if ref is not None else b""
        return kind(info["object"].hex() if ref is None else ref.hex(), owner, "")

    return make


def _sentence(kind):
    return lambda ref, info: kind(info["text"] or "")


def _plain(kind):
    return lambda ref, info: kind()


def _cancelled(ref, info):
    if info["data"]:
        return _application(ref, info)
    return ray_exceptions.TaskCancelledError(error_message=info["text"] or "")


def _group_removed(ref, info):
    if any(info["actor"]):
        return ray_exceptions.ActorPlacementGroupRemoved()
    return ray_exceptions.TaskPlacementGroupRemoved()


def _reconstruction(ref, info):
    return ray_exceptions.ObjectReconstructionFailedError(
        info["object"].hex(), reason=info["text"], owner_address=b""
    )


_MAKERS = {
    APPLICATION: _application,
    WORKER_CRASHED: _plain(ray_exceptions.WorkerCrashedError),
    ACTOR_DIED: _actor_died,
    ACTOR_UNAVAILABLE: lambda ref, info: ray_exceptions.ActorUnavailableError(
        info["text"] or "", info["actor"]
    ),
    OBJECT_LOST: _lost(ray_exceptions.ObjectLostError),
    OWNER_DIED: _lost(ray_exceptions.OwnerDiedError),
    TASK_CANCELLED: _cancelled,
    OBJECT_FREED: _lost(ray_exceptions.ObjectFreedError),
    ENV_SETUP: _sentence(ray_exceptions.RuntimeEnvSetupError),
    OUT_OF_MEMORY: _sentence(ray_exceptions.OutOfMemoryError),
    NODE_DIED: _sentence(ray_exceptions.NodeDiedError),
    TASK_UNSCHEDULABLE: _sentence(ray_exceptions.TaskUnschedulableError),
    ACTOR_UNSCHEDULABLE: _sentence(ray_exceptions.ActorUnschedulableError),
    STORE_FULL: _sentence(ray_exceptions.ObjectStoreFullError),
    OUT_OF_DISK: _sentence(ray_exceptions.OutOfDiskError),
    GROUP_REMOVED: _group_removed,
    RAYLET_DIED: _plain(ray_exceptions.LocalRayletDiedError),
    PENDING_CALLS: _sentence(ray_exceptions.PendingCallsLimitExceeded),
    RECONSTRUCTION: _reconstruction,
    END_OF_STREAM: _plain(ray_exceptions.ObjectRefStreamEndOfStreamError),
    SYSTEM: _sentence(ray_exceptions.RaySystemError),
    FETCH_TIMED_OUT: _lost(ray_exceptions.ObjectFetchTimedOutError),
    REPLAY: _sentence(ray_exceptions.StreamingGeneratorReplayInconsistentError),
}
