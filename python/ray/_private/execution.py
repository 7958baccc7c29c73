# SPDX-License-Identifier: Apache-2.0
"""The worker's side: loading what is to run, making actors, describing failures."""
import contextvars
import json
import os
import signal

from ray import _mobula
from ray._private import errors, setup_hook

# The token of what runs in a coroutine or thread of a concurrent actor; else the main thread's task
# counts.
current = contextvars.ContextVar("ray_current_task", default=None)

_names = {}  # hash -> module.name of what was loaded
_calls = {}  # hash -> how often it ran here, where max_calls limits that


class _Self:
    """The actor that this worker is."""

    instance = None
    module = None
    class_name = None
    name = None
    unordered = False
    asyncio = False


# ---- loading ----------------------------------------------------------------------------------


def load(hash_bytes):
    """The function or actor class that was exported under this hash."""
    from ray import cloudpickle

    _enter_job()
    data = _mobula.import_(hash_bytes, 60.0)
    if data is None:
        raise RuntimeError(
            "The remote function or class failed to import on the worker: nobody exported it within "
            "60 s."
        )
    kind, module, thing = cloudpickle.loads(data)
    _names[hash_bytes] = f"{module}.{thing.__name__}"
    if kind == "actor class":
        from ray.actor import modify_class

        _Self.module = module
        _Self.class_name = thing.__name__
        modified = modify_class(thing)
        modified.__module__ = module
        return modified
    return thing


_entered = None  # the job whose ways this process follows


def _enter_job():
    """Puts the driver's module search path in front of ours and logs as it wants, once a job."""
    import sys

    global _entered
    job = _mobula.current()["job_id"]
    if job == _entered:
        return
    config = job_config()
    for path in reversed(config.get("sys_path") or []):
        if path not in sys.path:
            sys.path.insert(0, path)
    if config.get("logging_config"):
        from ray import LoggingConfig

        LoggingConfig.from_dict(config["logging_config"])._apply()
    if _entered is None:
        # There is no terminal for Python's own debugger here.
        os.environ["PYTHONBREAKPOINT"] = "ray.util.rpdb.set_trace"
    if _entered is None and setup_hook.VARIABLE in os.environ:
        setup_hook.run()
    _entered = job


def job_config():
    """The configuration of the job that this worker works for."""
    config = json.loads(_mobula.assigned()).get("job_config") or {}
    return json.loads(config) if isinstance(config, str) else config


# ---- actors --------------------------------------------------------------------------------------


def create(cls, args, kwargs, options_text):
    """Runs an actor's creation: its instance."""
    options = json.loads(options_text) if options_text else {}
    _Self.name = options.get("name")
    instance = cls.__new__(cls)
    _Self.instance = instance
    _set_title(f"ray::{_Self.class_name}.__init__")
    limit = options.get("max_concurrency", 1)
    groups = options.get("concurrency_groups")
    if options.get("asyncio") or limit > 1 or groups:
        _Self.unordered = True
        from ray._private import concurrency

        _Self.asyncio = bool(options.get("asyncio"))
        runner = concurrency.runner(options.get("asyncio"), limit, groups)
        runner.construct(instance, args, kwargs)
        _mobula.set_dispatch(runner.dispatch, runner.cancel, _current_id)
        runner.begin()
    else:
        instance.__init__(*args, **kwargs)
    _set_title(f"ray::{log_name(instance)}")
    return instance


def _current_id():
    token = current.get()
    return token.task_id if token is not None else None


def is_async_call():
    """Is the calling code part of a call of an async actor?"""
    return _Self.asyncio and current.get() is not None


def own_handle(actor_id):
    """A handle of the actor that this worker is; it does not keep the actor alive."""
    from ray.actor import _ActorClassMetadata

    metadata = _ActorClassMetadata(type(_Self.instance), {})
    meta = metadata.meta(0, -1, _Self.unordered)
    return _mobula.import_actor(actor_id.binary(), None, _Self.unordered, meta)


def _set_title(title):
    from ray._private import proctitle

    proctitle.set(title)


def log_name(instance):
    """What stands before the lines that this actor prints."""
    original = getattr(type(instance), "__ray_actor_class__", None)
    if original is not None and original.__repr__ is not object.__repr__:
        try:
            return repr(instance)
        except Exception:
            pass
    return _Self.class_name


def actor_name():
    return _Self.name or ""


class _ActorExit(SystemExit):
    """Raised by exit_actor() in a sync actor."""


def exit_actor():
    if is_async_call():
        from ray.exceptions import AsyncioActorExit

        raise AsyncioActorExit()
    raise _ActorExit(0)


def flattened(generator, options_text):
    """The generator whose every `yield` gives several values, as one that yields them one by one."""
    count = json.loads(options_text).get("per_yield")
    return _flatten(generator, count) if count else generator


def _flatten(generator, count):
    stats = None
    while True:
        try:
            values = generator.send(stats)
        except StopIteration:
            return
        _check_yielded(values, count)
        for value in values:
            stats = yield value


def _check_yielded(values, count):
    if len(values) != count:
        raise ValueError(
            f"The generator yielded {len(values)} objects, but _num_objects_per_yield={count}."
        )


async def flattened_async(generator, options_text):
    count = json.loads(options_text).get("per_yield") if options_text else None
    async for value in generator:
        if not count:
            yield value
            continue
        _check_yielded(value, count)
        for each in value:
            yield each


# ---- ends --------------------------------------------------------------------------------------------


def task_done(hash_bytes, options_text):
    """Is this worker to end, since the function ran `max_calls` times?"""
    limit = json.loads(options_text).get("max_calls")
    if not limit:
        return False
    _calls[hash_bytes] = _calls.get(hash_bytes, 0) + 1
    return _calls[hash_bytes] >= limit


def function_name(info):
    """module.name of what `info` describes, as errors and the runtime context show it."""
    if info["kind"] == 0:
        return _names.get(info["function"], info["name"])
    return f"{_Self.module}.{info['name']}"


def failed(error, info):
    """How a call ends whose code raised `error`: (kind, data, text, retry, exiting, class name,
    namespace)."""
    from ray import exceptions

    if isinstance(error, (_ActorExit, exceptions.AsyncioActorExit)):
        return _exited(info)
    if isinstance(error, SystemExit):
        raise error  # the process ends; the submitter sees a dead worker
    if isinstance(error, KeyboardInterrupt) or _is_cancelled(error):
        cancelled = exceptions.TaskCancelledError(info["task_id"])
        return _described(cancelled.with_traceback(error.__traceback__), info, retry=False)
    if info["kind"] == 1:
        answer = _described(error, info, retry=False)
        return (errors.ACTOR_DIED, *answer[1:4], True, *answer[5:])
    return _described(error, info, retry=_may_retry(error, info))


def _is_cancelled(error):
    import sys

    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def _exited(info):
    text = (
        "The actor is dead because its worker process has died. "
        "Worker exit type: INTENDED_USER_EXIT Worker exit detail: Worker exits by an user request. "
        "Worker exits with an exit code 0. exit_actor() is called."
    )
    _mobula.actor_exited(text)
    return (errors.ACTOR_DIED, b"", text, False, True, _Self.class_name, _namespace())


def _namespace():
    return json.loads(_mobula.assigned()).get("namespace") or ""


def _may_retry(error, info):
    allowed = json.loads(info["options"]).get("retry_exceptions") if info["options"] else None
    if not allowed:
        return True
    import base64

    from ray import cloudpickle

    cause = error
    if type(error).__name__ == "UserCodeException":
        cause = error.__cause__ or error
    return isinstance(cause, cloudpickle.loads(base64.b64decode(allowed)))


def _described(error, info, retry, text=None):
    import traceback

    from ray.exceptions import RayTaskError

    if text is None:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        if not text.startswith("Traceback "):
            text = "Traceback (most recent call last):\n" + text
    actor = {}
    if info["kind"] != 0:
        actor = {"actor_repr": _actor_repr(), "actor_id": info["actor_id"].hex()}
    title = f"ray::{info['name']}"
    cause = getattr(error, "cause", error) if isinstance(error, RayTaskError) else error
    wrapped = RayTaskError(function_name(info), text, cause, proctitle=title, **actor)
    class_name = _Self.class_name or ""
    return (errors.APPLICATION, wrapped.to_bytes(), text, retry, False, class_name, "")


def _actor_repr():
    try:
        return repr(_Self.instance)
    except Exception:
        return _Self.class_name


def dependency(error, info):
    """How a call ends that did not run since one of its arguments is `error`."""
    from ray.exceptions import RayTaskError

    kind = RayTaskError if isinstance(error, RayTaskError) else type(error)
    text = (
        "Traceback (most recent call last):\n"
        "  At least one of the input arguments for this task could not be computed:\n"
        f"{kind.__module__}.{kind.__qualname__}: {error}\n"
    )
    answer = _described(error, info, retry=False, text=text)
    if info["kind"] == 1:
        return (errors.ACTOR_DIED, *answer[1:4], True, *answer[5:])
    return answer


def leave():
    """The end of a worker: what atexit promises, then nothing of the interpreter's own."""
    import atexit
    import sys

    try:
        shutdown = getattr(_Self.instance, "__ray_shutdown__", None)
        if shutdown is not None:
            shutdown()
    except Exception:
        import logging

        logging.getLogger("ray").exception("Error during the actor's __ray_shutdown__()")
    try:
        atexit._run_exitfuncs()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass


def _on_cancel(number, frame):
    """The signal that a task was cancelled: it may come late, when another one runs."""
    if _mobula.task_interrupted():
        raise KeyboardInterrupt


def run(config):
    """A worker's life: `config` is what the raylet said at the fork."""
    from ray._private import worker

    token = os.environ.get("RAY_AUTH_TOKEN")
    _mobula.connect(
        2,
        config["raylet_socket"],
        token.encode() if token else None,
        bytes.fromhex(config["worker_id"]),
        int(config["startup_token"]),
        None,
        None,
        None,
        30.0,
    )
    worker.global_worker.mode = worker.WORKER_MODE
    signal.signal(signal.SIGINT, _on_cancel)
    code = 0
    try:
        _mobula.run_tasks()
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1 if e.code else 0
    finally:
        leave()
        _mobula.disconnect(code)
    return code


# ---- what the lease gave -----------------------------------------------------------------------

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def _device_names(text):
    return [name.strip() for name in text.split(",")] if text else None


# The devices that this process was shown before its leases chose among them.
_outer_text = os.environ.get(_VISIBLE)
outer_visible_devices = _device_names(_outer_text)
_threads_are_ours = None  # known at the first lease, when the process has its variables


def lease_given():
    """A new lease: only its GPUs are visible, and as many threads as it has CPUs are started."""
    from ray._private.worker import assigned as lease
    from ray._private.worker import global_worker

    global _threads_are_ours
    if _threads_are_ours is None:
        _threads_are_ours = "OMP_NUM_THREADS" not in os.environ
    resources = lease().get("resources") or {}
    ids = global_worker.get_accelerator_ids_for_accelerator_resource("GPU", "")
    if os.environ.get("RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES", "") in ("", "0"):
        if ids or os.environ.get("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO") == "1":
            os.environ[_VISIBLE] = ",".join(str(i) for i in ids)
        elif _outer_text is not None:
            os.environ[_VISIBLE] = _outer_text
        else:
            os.environ.pop(_VISIBLE, None)
    if _threads_are_ours:
        os.environ["OMP_NUM_THREADS"] = str(max(int(resources.get("CPU", 1)), 1))
