# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

from ray import exceptions as x

made = [
    x.WorkerCrashedError(), x.LocalRayletDiedError(), x.TaskCancelledError(), x.RayActorError(),
    x.ActorDiedError(), x.ActorUnavailableError("why", b"\x01" * 16), x.RaySystemError("c", "tb"),
    x.RaySystemError("c"), x.UserCodeException("u"), x.ObjectStoreFullError("full"), x.OutOfDiskError("d"),
    x.OutOfMemoryError("m"), x.NodeDiedError("n"), x.ObjectLostError("ab", b"", ""),
    x.ObjectLostError("ab", b"", "here"), x.ObjectFetchTimedOutError("ab", b"", ""),
    x.ReferenceCountingAssertionError("ab", b"", ""), x.ObjectFreedError("ab", b"", ""),
    x.OwnerDiedError("ab", b"", ""), x.GetTimeoutError("t"), x.PlasmaObjectNotAvailable("p"),
    x.AsyncioActorExit("a"), x.RuntimeEnvSetupError("r"), x.RuntimeEnvSetupError(),
    x.TaskPlacementGroupRemoved(), x.ActorPlacementGroupRemoved(), x.PendingCallsLimitExceeded("p"),
    x.TaskUnschedulableError("t"), x.ActorUnschedulableError("a"), x.ObjectRefStreamEndOfStreamError(),
    x.StreamingGeneratorReplayInconsistentError("s"), x.OufOfBandObjectRefSerializationException("o"),
    x.RayChannelError("c"), x.RayChannelTimeoutError("c"), x.RayCgraphCapacityExceeded("c"),
    x.RayDirectTransportError("c"), x.UnserializableException("trace"),
    x.ActorAlreadyExistsError("e"), x.ActorHandleNotFoundError("e"), x.RpcError("r", 3),
]
python = {"BaseException", "Exception", "object"}
for e in made:
    bases = [c.__name__ for c in type(e).__mro__ if not c.__name__.startswith("_")]
    print(" < ".join(b for b in bases if b not in python))
    print("   ", str(e))
print(sorted(n for n in dir(x) if isinstance(getattr(x, n), type) and issubclass(getattr(x, n), x.RayError) and n[0] != "_"))
print([e.__name__ for e in x.RAY_EXCEPTION_TYPES])
error = x.RayTaskError("f", "Traceback (most recent call last):\n  File \"/u.py\", line 1\n    x\nValueError: v", ValueError("v"), "ray::f", 7, "1.2.3.4")
print(error)
print(repr(str(error)))
dual = error.as_instanceof_cause()
print(type(dual).__name__, isinstance(dual, ValueError), dual.args, str(dual) == str(error))
hidden = 'Traceback (most recent call last):\n  File "/p/ray/_private/w.py", line 1, in a\n    code\n  File "/u.py", line 2, in b\n    user\nKeyError: 1'
print(x.RayTaskError("f", hidden, KeyError(1), "ray::A.m", 7, "1.2.3.4", "A<1>", "ab"))
