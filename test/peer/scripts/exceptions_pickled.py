# SPDX-License-Identifier: Apache-2.0
import pickle

import ray
from ray.exceptions import ActorDiedError, RayTaskError, TaskCancelledError

ray.init(num_cpus=2, log_to_driver=False)


class Mine(Exception):
    def __init__(self, code, text):
        super().__init__(code, text)
        self.code = code


class NotPicklable(Exception):
    def __init__(self):
        import threading

        self.lock = threading.Lock()


@ray.remote
def fail(kind):
    if kind == "mine":
        raise Mine(7, "seven")
    if kind == "lock":
        raise NotPicklable()
    if kind == "group":
        raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])
    if kind == "cause":
        try:
            {}["key"]
        except KeyError as e:
            raise RuntimeError("outer") from e
    raise SystemError(kind)


def get(kind):
    try:
        ray.get(fail.remote(kind))
    except Exception as e:
        return e


e = get("mine")
print(isinstance(e, Mine), isinstance(e, RayTaskError), type(e).__name__, e.code, e.cause.args)
again = pickle.loads(pickle.dumps(e.cause))
print(type(again).__name__, again.code)
e = get("lock")
print(isinstance(e, RayTaskError), type(e).__name__)
e = get("group")
print(isinstance(e, ExceptionGroup), isinstance(e, RayTaskError), type(e).__name__)
print(sorted(type(x).__name__ for x in e.exceptions))
caught = []
try:
    ray.get(fail.remote("group"))
except* ValueError as group:
    caught.append(len(group.exceptions))
except* TypeError as group:
    caught.append(len(group.exceptions))
print(caught)
e = get("cause")
print(type(e.cause).__name__, type(e.cause.__cause__).__name__, "KeyError: 'key'" in str(e))
e = get("other")
print(e.cause.args, "ray::fail()" in str(e))


@ray.remote
def pass_on(refs):
    return ray.get(refs[0])


try:
    ray.get(pass_on.remote([fail.remote("mine")]))
except Mine as e:
    print("through a task", type(e).__name__)
print(issubclass(ActorDiedError, ray.exceptions.RayActorError), TaskCancelledError().task_id)
