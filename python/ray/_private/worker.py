# SPDX-License-Identifier: Apache-2.0
"""The process as Ray sees it: the functions of `ray.*` and the object `global_worker`."""
import os

from ray import _mobula
from ray._mobula import JobID, ObjectRef, TaskID, WorkerID, get  # noqa: F401

SCRIPT_MODE = 0
WORKER_MODE = 1
LOCAL_MODE = 2
SPILL_WORKER_MODE = 3
RESTORE_WORKER_MODE = 4

_post_init_hooks = []


class Worker:
    """What this process is in the cluster. One a process: `global_worker`."""

    def __init__(self):
        self.mode = None
        self.node = None  # the session that this process is connected to
        self._serialization_context = None
        self.ray_debugger_external = False

    @property
    def connected(self):
        return _mobula.is_connected()

    def check_connected(self):
        if not _mobula.is_connected():
            from ray.exceptions import RaySystemError

            raise RaySystemError(
                "Ray has not been started yet. You can start Ray with 'ray.init()'."
            )

    @property
    def core_worker(self):
        if not _mobula.is_connected():
            raise AttributeError("core_worker")
        return _mobula

    @property
    def current_job_id(self):
        return _mobula.current()["job_id"] if self.connected else JobID.nil()

    @property
    def current_task_id(self):
        info = current_task()
        return info["task_id"] if info else _mobula.current()["task_id"]

    @property
    def current_task_name(self):
        info = current_task()
        return info["name"] if info else ""

    @property
    def current_task_function_name(self):
        from ray._private.execution import function_name

        info = current_task()
        return function_name(info) if info else ""

    @property
    def actor_id(self):
        from ray._mobula import ActorID

        actor = _mobula.current()["actor_id"] if self.connected else ActorID.nil()
        return ActorID.nil() if not any(actor.binary()) else actor

    @property
    def actor_name(self):
        from ray._private import execution

        return execution.actor_name()

    @property
    def current_node_id(self):
        from ray._mobula import NodeID

        return NodeID(_mobula.info()["node_id"])

    @property
    def worker_id(self):
        """Bytes on a worker; a driver's is made from its job."""
        if self.mode == SCRIPT_MODE:
            return self.current_job_id.binary() + b"\xff" * 24
        return _mobula.info()["worker_id"]

    @property
    def namespace(self):
        info = current_task()
        return (info and info["namespace"]) or assigned().get("namespace") or (
            _mobula.info()["namespace"]
        )

    @property
    def placement_group_id(self):
        from ray._mobula import PlacementGroupID

        group = assigned().get("group") if self.mode == WORKER_MODE else None
        return PlacementGroupID.from_hex(group) if group else PlacementGroupID.nil()

    @property
    def should_capture_child_tasks_in_placement_group(self):
        return self.mode == WORKER_MODE and bool(assigned().get("capture"))

    @property
    def current_cluster_and_job(self):
        return _mobula.info()["cluster_id"], self.current_job_id

    @property
    def runtime_env(self):
        """JSON of the runtime environment of this process."""
        if self.mode == SCRIPT_MODE:
            return self.node.runtime_env_text
        from ray._private.runtime_env import VARIABLE

        return os.environ.get(VARIABLE, "{}")

    @property
    def current_node_labels(self):
        mine = _mobula.info()["node_id"]
        for node in _mobula.nodes():
            if node["node_id"] == mine:
                return node["labels"]
        return {}

    @property
    def node_ip_address(self):
        return _mobula.info()["node_ip"]

    def get_serialization_context(self):
        if self._serialization_context is None:
            from ray._private.serialization import SerializationContext

            self._serialization_context = SerializationContext(self)
        return self._serialization_context

    def get_accelerator_ids_for_accelerator_resource(self, resource_name, resource_regex):
        ids = assigned().get("gpu_ids") or [] if resource_name == "GPU" else []
        from ray._private import execution

        visible = execution.outer_visible_devices
        if visible and all(i < len(visible) for i in ids):
            return [visible[i] for i in ids]
        return list(ids)


def current_task():
    """What the calling thread or coroutine runs (a dict), or None outside of a task."""
    if global_worker.mode != WORKER_MODE:
        return None
    from ray._private import execution

    token = execution.current.get()
    return token.info if token is not None else _mobula.current_task()


def assigned():
    """What the raylet gave this worker for its lease: resources, GPUs, namespace, job config."""
    import json

    return json.loads(_mobula.assigned())


global_worker = Worker()
_global_node = None


# ---- life ------------------------------------------------------------------------------------


def init(
    address=None,
    *,
    num_cpus=None,
    num_gpus=None,
    resources=None,
    labels=None,
    object_store_memory=None,
    local_mode=False,
    ignore_reinit_error=False,
    include_dashboard=None,
    dashboard_host="127.0.0.1",
    dashboard_port=None,
    job_config=None,
    configure_logging=True,
    logging_level="info",
    logging_format=None,
    logging_config=None,
    log_to_driver=None,
    namespace=None,
    runtime_env=None,
    enable_resource_isolation=False,
    cgroup_path=None,
    system_reserved_cpu=None,
    system_reserved_memory=None,
    proxy_server_url=None,
    **kwargs,
):
    """Connects to a cluster, or starts one on this machine and connects to that.

    `address`: "host:port" of a running cluster; "local" for a new one; "auto" for the one that
    RAY_ADDRESS or /tmp/ray/ray_current_cluster names; None tries that and else starts a new one.
    Returns a RayContext.
    """
    options = dict(locals())
    options.update(options.pop("kwargs"))
    from ray._private import init as starting

    return starting.init(options, hidden=tuple(kwargs))


def shutdown(*, wait_for_processes=False, _exiting_interpreter=False):
    """Disconnects, and ends the processes that init() started. Twice does no harm."""
    if global_worker.mode is None and not _mobula.is_connected():
        return
    from ray._private import init as starting

    starting.shutdown(wait_for_processes, _exiting_interpreter)


def is_initialized():
    """Is this process connected to a cluster?"""
    return _mobula.is_connected()


def auto_init():
    """What calls without a connection do: ray.init(), unless RAY_ENABLE_AUTO_CONNECT=0."""
    if not _mobula.is_connected() and os.environ.get("RAY_ENABLE_AUTO_CONNECT", "") != "0":
        from ray._private import init as starting

        with starting.lock:
            if not _mobula.is_connected():
                init()


# ---- objects -----------------------------------------------------------------------------------


def put(value, *, _owner=None, _tensor_transport=None):
    """Stores a value; returns its reference."""
    if _owner is not None:
        raise ValueError(
            "The experimental `_owner` argument to `ray.put` has been removed in Ray 2.56."
        )
    if _tensor_transport is not None:
        raise NotImplementedError("Tensor transports are not supported by Mobula yet.")
    if isinstance(value, ObjectRef):
        raise TypeError(
            "Calling 'put' on an ray.ObjectRef is not allowed. "
            "If you really want to do this, you can wrap the "
            "ray.ObjectRef in a list and call 'put' on it."
        )
    try:
        return _mobula.put(value)
    except TypeError as e:
        raise _unserializable(f"Could not serialize the put value {value!r}:\n", value) from e


def _unserializable(text, value):
    """The TypeError that says which part of `value` can't be pickled."""
    import io

    from ray.util.check_serialize import inspect_serializability

    report = io.StringIO()
    inspect_serializability(value, print_file=report)
    return TypeError(text + report.getvalue())


def wait(ray_waitables, *, num_returns=1, timeout=None, fetch_local=True):
    """Splits a list of references in those that are ready, at most `num_returns`, and the rest."""
    auto_init()
    global_worker.check_connected()
    if isinstance(ray_waitables, ObjectRef) or hasattr(ray_waitables, "_ray_waitable"):
        raise TypeError(
            "wait() expected a list of ray.ObjectRef or ray.ObjectRefGenerator"
            ", got a single ray.ObjectRef or ray.ObjectRefGenerator "
            f"{ray_waitables}"
        )
    if not isinstance(ray_waitables, list):
        raise TypeError(
            "wait() expected a list of ray.ObjectRef or "
            f"ray.ObjectRefGenerator, got {type(ray_waitables)}"
        )
    if timeout is not None and timeout < 0:
        raise ValueError(f"The 'timeout' argument must be nonnegative. Received {timeout}")
    count = len(ray_waitables)
    if count == 0:
        return [], []
    if num_returns <= 0:
        raise ValueError("Invalid number of objects to return %d." % num_returns)
    if num_returns > count:
        raise ValueError(
            "num_returns cannot be greater than the number of ray_waitables provided to ray.wait."
        )
    return _mobula.wait_refs(ray_waitables, int(num_returns), timeout, fetch_local)


def cancel(ray_waitable, *, force=False, recursive=True):
    """Cancels the task that makes `ray_waitable`, unless it has ended."""
    auto_init()
    global_worker.check_connected()
    ray_waitable = getattr(ray_waitable, "_generator_ref", ray_waitable)
    if not isinstance(ray_waitable, ObjectRef):
        raise TypeError(
            "ray.cancel() only supported for object refs. "
            f"For actors, try ray.kill(). Got: {type(ray_waitable)}."
        )
    if force and any(ray_waitable.task_id().actor_id().binary()[:12].strip(b"\xff\x00")):
        raise ValueError("force=True is not supported for actor tasks.")
    _mobula.cancel(ray_waitable, force, recursive)


# ---- actors --------------------------------------------------------------------------------------


def get_actor(name, namespace=None):
    """The handle of a named actor. ValueError if there is none."""
    auto_init()
    if not name:
        raise ValueError("Please supply a non-empty value to get_actor")
    validate_namespace(namespace)
    global_worker.check_connected()
    from ray.actor import find_actor

    handle = find_actor(name, namespace)
    if handle is None:
        raise ValueError(
            f"Failed to look up actor with name '{name}'. This could "
            "because 1. You are trying to look up a named actor you "
            "didn't create. 2. The named actor died. "
            "3. You did not use a namespace matching the namespace of the actor."
        )
    return handle


def validate_namespace(namespace):
    if namespace is None:
        return
    if not isinstance(namespace, str):
        raise TypeError("namespace must be None or a string.")
    if namespace == "":
        raise ValueError(
            '"" is not a valid namespace. Pass None to not specify a namespace.'
        )


def kill(actor, *, no_restart=True):
    """Kills an actor at once; `no_restart=False` lets it start again if it may."""
    auto_init()
    global_worker.check_connected()
    from ray.actor import ActorHandle, _raise_stale_handle

    if not isinstance(actor, ActorHandle):
        raise ValueError(
            "ray.kill() only supported for actors. For tasks, try ray.cancel(). "
            f"Got: {type(actor)}."
        )
    if actor._ray_session != _mobula.session():
        _raise_stale_handle(actor)
    _mobula.kill_actor(actor, no_restart)


def remote(*args, **kwargs):
    """Makes a function a task and a class an actor: `@ray.remote` or `@ray.remote(num_cpus=2)`."""
    if len(args) == 1 and not kwargs and callable(args[0]):
        return _make_remote(args[0], {})
    if args or not kwargs:
        from ray._private.options import remote_args_error

        raise AssertionError(remote_args_error())
    import functools

    return functools.partial(_make_remote, options=kwargs)


def _make_remote(function_or_class, options):
    if not function_or_class.__module__:
        function_or_class.__module__ = "global"
    if isinstance(function_or_class, type):
        from ray.actor import make_actor

        return make_actor(function_or_class, options)
    if type(function_or_class) is type(_make_remote) or _is_cython(function_or_class):
        from ray.remote_function import RemoteFunction, is_generator

        if options:
            from ray._private.options import validate_task_options

            validate_task_options(
                options, in_options=False, is_generator=is_generator(function_or_class)
            )
        return RemoteFunction(function_or_class, options)
    raise TypeError("The @ray.remote decorator must be applied to either a function or a class.")


def _is_cython(function):
    return type(function).__name__ == "cython_function_or_method"


# ---- the cluster ----------------------------------------------------------------------------------


def _check_state_api():
    if not _mobula.is_connected():
        from ray.exceptions import RaySystemError

        raise RaySystemError(
            "Ray has not been started yet. "
            "Trying to use state API before ray.init() has been called."
        )


def nodes():
    """All nodes of the cluster, dead ones too: a list of dicts."""
    _check_state_api()
    from ray._private.state import node_table

    return node_table()


def cluster_resources():
    """The resources of all live nodes together."""
    _check_state_api()
    return _sum_resources("total")


def available_resources():
    """What of them is free now."""
    _check_state_api()
    return _sum_resources("available")


def _sum_resources(which):
    total = {}
    for node in _mobula.nodes():
        if node["state"] != 1:  # not DEAD
            for name, amount in node[which].items():
                total[name] = total.get(name, 0) + amount
    return total


def timeline(filename=None):
    """What ran where and when, as Chrome's trace events: a list, or written to a file as JSON."""
    if not is_initialized():
        raise RuntimeError(
            "Ray has not been started yet. Timeline requires Ray to be initialized first."
        )
    from ray.util.state.api import StateApiClient

    events = _named_rows(StateApiClient().timeline())
    if filename is None:
        return events
    import json

    with open(filename, "w") as file:
        json.dump(events, file)


def _named_rows(events):
    """The spans, each with its node's address and its worker; the server numbers these, and says in
    rows of their own what the numbers mean."""
    nodes, workers = {}, {}
    for event in events:
        if event["name"] == "process_name":
            nodes[event["pid"]] = event["args"]["name"].removeprefix("Node ")
        elif event["name"] == "thread_name":
            workers[event["pid"], event["tid"]] = event["args"]["name"]
    return [
        {**span, "pid": nodes[span["pid"]], "tid": workers[span["pid"], span["tid"]]}
        for span in events
        if span["ph"] == "X"
    ]


def get_runtime_context():
    """What the running code can know of its task, actor, job and node."""
    auto_init()
    from ray.runtime_context import get_runtime_context as get_it

    return get_it()


def get_gpu_ids():
    """The GPUs that this worker may use."""
    auto_init()
    global_worker.check_connected()
    return global_worker.get_accelerator_ids_for_accelerator_resource("GPU", "")


def _mode(worker=global_worker):
    return worker.mode


# ---- hooks of the extension --------------------------------------------------------------------------


def _deferred(name, module, function=None):
    """A hook that imports the real one at its first call."""

    def first(*args):
        import importlib

        real = getattr(importlib.import_module(module), function or name)
        _mobula.install(**{name: real})
        return real(*args)

    return first


_mobula.install(
    auto_init=auto_init,
    assigned=_deferred("assigned", "ray._private.execution", "lease_given"),
    **{
        name: _deferred(name, "ray._private." + module)
        for name, module in {
            "dumps": "serialization",
            "loads": "serialization",
            "ref_escape": "serialization",
            "error": "errors",
            "prepare": "calls",
            "bind": "calls",
            "argument": "calls",
            "load": "execution",
            "create": "execution",
            "task_done": "execution",
            "failed": "execution",
            "dependency": "execution",
            "flattened": "execution",
        }.items()
    },
    generator=_deferred("generator", "ray._private.object_ref_generator", "make"),
)
