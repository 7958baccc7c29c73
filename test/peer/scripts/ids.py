# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import pickle

from ray import ActorID, JobID, NodeID, ObjectRef, PlacementGroupID, TaskID, UniqueID, WorkerID

for kind in (ActorID, JobID, NodeID, ObjectRef, PlacementGroupID, TaskID, UniqueID, WorkerID):
    nil = kind.nil()
    print(kind.__name__, kind.__module__, kind.size(), nil, nil.is_nil(), len(nil.binary()), nil == kind.nil())
    one = kind(b"\x01" * kind.size())
    print(one, one.hex() == one.binary().hex(), one == kind.from_binary(one.binary()), one != nil)
    print(hash(one) == hash(kind(b"\x01" * kind.size())), len({one, nil}), bytes(one) == one.binary())
    print(pickle.loads(pickle.dumps(nil)) == nil, one == one.hex())
    show("short", lambda: kind(b"abc"))
    show("text", lambda: kind("abc"))
    show("less", lambda: one < nil)
print(NodeID.from_hex("ab" * 28), ActorID.from_hex("ab" * 16), JobID.from_hex("0a000000").int())
print(JobID.from_int(258), TaskID.for_driver_task(JobID.from_int(1)))
actor = ActorID.of(JobID.from_int(2), TaskID.nil(), 0)
print(actor.job_id, TaskID.for_actor_creation_task(actor).actor_id() == actor)
print(ObjectRef[int], ObjectRef(b"\x02" * 28).task_id(), ObjectRef(b"\x02" * 28).job_id())
print(repr(ray.Language.PYTHON), ray.SCRIPT_MODE, ray.WORKER_MODE, ray.__version__)
