# SPDX-License-Identifier: Apache-2.0
"""ray.init() and ray.shutdown()."""
import atexit
import os
import sys
import threading
import time

from ray import _mobula
from ray._private import worker
from ray._private.context import RayContext

lock = threading.RLock()

_HIDDEN = (
    "_enable_object_reconstruction",
    "_plasma_directory",
    "object_spilling_directory",
    "_node_ip_address",
    "_driver_object_store_memory",
    "_memory",
    "_redis_username",
    "_redis_password",
    "_temp_dir",
    "_metrics_export_port",
    "_system_config",
    "_tracing_startup_hook",
    "_node_name",
    "_skip_env_hook",
)

# What only a new cluster takes: (option, sentence).
_NEW_ONLY = (
    ("num_cpus", "When connecting to an existing cluster, num_cpus and num_gpus must not be provided."),
    ("num_gpus", "When connecting to an existing cluster, num_cpus and num_gpus must not be provided."),
    ("resources", "When connecting to an existing cluster, resources must not be provided."),
    ("labels", "When connecting to an existing cluster, labels must not be provided."),
    (
        "object_store_memory",
        "When connecting to an existing cluster, object_store_memory must not be provided.",
    ),
    ("_system_config", "When connecting to an existing cluster, _system_config must not be provided."),
    (
        "_enable_object_reconstruction",
        "When connecting to an existing cluster, "
        "_enable_object_reconstruction must not be provided.",
    ),
    (
        "_node_name",
        "_node_name cannot be configured when connecting to an existing cluster.",
    ),
)


class Session:
    """The cluster that this driver is connected to: `global_worker.node`."""

    def __init__(self, cluster, job_config):
        import json

        self.cluster = cluster  # a LocalCluster if we started it
        self.info = _mobula.info()
        self.session_name = self.info["session_name"]
        self.runtime_env_text = json.dumps(job_config.get("runtime_env") or {}, sort_keys=True)
        self.detached_by_default = job_config.get("default_actor_lifetime") == "detached"
        self.logs = None

    @property
    def webui_url(self):
        ours = self.cluster.dashboard_address if self.cluster else self.info["dashboard_url"]
        url = os.environ.get("RAY_OVERRIDE_DASHBOARD_URL") or ours or ""
        return url.split("://", 1)[-1]

    @property
    def address_info(self):
        info = self.info
        return {
            "node_ip_address": info["node_ip"],
            "redis_address": None,
            "object_store_address": info["raylet_socket"],
            "raylet_socket_name": info["raylet_socket"],
            "webui_url": self.webui_url,
            "session_dir": info["session_dir"],
            "metrics_export_port": info["metrics_port"],
            "gcs_address": info["gcs_address"],
            "address": info["gcs_address"],
            "dashboard_agent_listen_port": self._agent_port(),
            "node_id": info["node_id"].hex(),
        }

    def _agent_port(self):
        own = self.info["node_id"]
        return next((node["agent_port"] for node in _mobula.nodes() if node["node_id"] == own), None)

    @property
    def address(self):
        return self.info["gcs_address"]

    def get_session_dir_path(self):
        return self.info["session_dir"]

    def get_logs_dir_path(self):
        return os.path.join(self.info["session_dir"], "logs")


_not_set_up = None  # the options of an init() whose logging is still to be set up


def set_up():
    """Logging and signals: before anything is said, but while a new cluster's processes start, as the
    modules behind them take as long as these."""
    global _not_set_up
    options, _not_set_up = _not_set_up, None
    if options is not None:
        _set_up_logging(options)
        _handle_sigterm()


def _log():
    from ray._private import logging_setup

    set_up()
    return logging_setup.ensure()


def init(options, hidden):
    global _not_set_up
    with lock:
        _not_set_up = options
        try:
            return _init(options, hidden)
        finally:
            set_up()


def _init(options, hidden):
    if options["logging_config"] is not None or "RAY_LOGGING_CONFIG_ENCODING" in os.environ:
        set_up()
    address = _address(options)
    _refuse_unknown(options, hidden)
    if options.get("_tracing_startup_hook"):
        _log().warning("Tracing is not part of Mobula yet: _tracing_startup_hook is not called.")
    for name in _HIDDEN:
        options.setdefault(name, None)
    _raise_fd_limit()
    job_config = _job_config(options)
    found = _existing(address, options)
    _check_forms(options)
    if options["local_mode"]:
        raise RuntimeError(
            "`local_mode` is no longer supported. For interactive debugging consider using the Ray distributed debugger."
        )
    if _mobula.is_connected():
        return _again(options)
    if options["_system_config"] is not None and not isinstance(options["_system_config"], dict):
        raise TypeError("The _system_config must be a dict.")
    if found is None:
        _start(options, job_config)
    else:
        _join(found, address, options, job_config)
    return _connected(options)


# ---- before anything is touched --------------------------------------------------------------


def _set_up_logging(options):
    from ray._private import logging_setup

    if options["configure_logging"]:
        logging_setup.setup(
            os.environ.get("RAY_LOGGER_LEVEL") or options["logging_level"],
            options["logging_format"],
        )
    else:
        import logging

        logging_setup.ensure()
        logging.getLogger("ray").handlers.clear()
    encoding = os.environ.get("RAY_LOGGING_CONFIG_ENCODING")
    if options["logging_config"] is None and encoding:
        from ray import LoggingConfig

        options["logging_config"] = LoggingConfig(encoding=encoding)
    if options["logging_config"] is not None:
        options["logging_config"]._apply()


def _handle_sigterm():
    import signal

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
    else:
        _log().warning(
            "SIGTERM handler is not set because current thread is not the main thread."
        )


def _address(options):
    address = options["address"]
    environment = os.environ.get("RAY_ADDRESS")
    if environment and address in (None, "auto"):
        address = environment
        _log().info(f"Using address {environment} set in the environment variable RAY_ADDRESS")
    if address is not None and "://" in address:
        raise NotImplementedError(
            f"{address}: Ray Client is not part of Mobula yet. Run the driver on a node of the "
            "cluster, or submit it with `ray job submit`."
        )
    return address


def _refuse_unknown(options, hidden):
    if options.get("allow_multiple"):
        raise RuntimeError(
            "`allow_multiple` argument is passed to `ray.init` when the "
            "ray client is not used ("
            "https://docs.ray.io/en/releases-2.60.0/cluster"
            "/running-applications/job-submission"
            "/ray-client.html#connect-to-multiple-ray-clusters-experimental). "
            "Do not pass the `allow_multiple` to `ray.init` to fix the issue."
        )
    if options.get("storage"):
        raise RuntimeError(
            "Cluster-wide storage configuration has been removed. "
            "The last Ray version supporting the `storage` argument is `ray==2.47`."
        )
    unknown = ", ".join(name for name in hidden if name not in _HIDDEN)
    if unknown:
        raise RuntimeError(f"Unknown keyword argument(s): {unknown}")


def _raise_fd_limit():
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536)
    if wanted > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except ValueError:
            pass
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft < 4096:
        _log().warning(
            f"File descriptor limit {soft} is too low for production "
            "servers and may result in connection errors. "
            "At least 8192 is recommended. --- "
            "Fix with 'ulimit -n 8192'"
        )


def _check_forms(options):
    """What would fail later, and further away from who wrote it."""
    resources = options["resources"] or {}
    if not isinstance(resources, dict):
        raise TypeError(f"resources must be a dict, got {type(resources)}")
    for name, instead in (
        ("CPU", "num_cpus"),
        ("GPU", "num_gpus"),
        ("memory", "memory"),
        ("object_store_memory", "object_store_memory"),
    ):
        if name in resources:
            raise ValueError(
                f"{resources} -> `{name}` cannot be a custom resource because it is one of the "
                f"default resources. Use `{instead}` instead."
            )
    _check_gpus(options["num_gpus"])
    labels = options["labels"] or {}
    if not isinstance(labels, dict):
        raise TypeError(f"labels must be a dict, got {type(labels)}")
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ValueError(f"labels must be str -> str, got {key!r}: {value!r}")
    temp_dir = options["_temp_dir"]
    if temp_dir is not None and not os.path.isabs(temp_dir):
        raise ValueError("temp_dir must be absolute path or None.")
    port = options["dashboard_port"]
    if port is not None and not (isinstance(port, int) and 0 <= port <= 65535):
        raise ValueError(f"dashboard_port must be an integer between 0 and 65535, got {port!r}")
    namespace = options["namespace"]
    if namespace is not None and not isinstance(namespace, str):
        raise TypeError(f"namespace must be a string, got {type(namespace)}")


def _check_gpus(wanted):
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not wanted:
        return
    devices = [] if visible in ("", "NoDevFiles") else visible.split(",")
    if wanted > len(devices):
        raise ValueError(
            f"Attempting to start raylet with {wanted} GPU, "
            f"but CUDA_VISIBLE_DEVICES contains {devices}."
        )


# ---- the job ------------------------------------------------------------------------------------


def _job_config(options):
    """What the cluster is told of this driver's job, as a dict."""
    given = options["job_config"]
    own_env = options["runtime_env"]
    metadata = dict(given.metadata) if given else {}
    injected_text = os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR")
    if injected_text:
        import json

        from ray._private.runtime_env import merge_for_driver

        injected = json.loads(injected_text)
        override = os.environ.get("RAY_OVERRIDE_JOB_RUNTIME_ENV") == "1"
        env = merge_for_driver(injected.get("runtime_env"), own_env, override)
        if env is None:
            raise ValueError(
                "Failed to merge the Job's runtime env "
                f"{injected.get('runtime_env')} with "
                f"a ray.init's runtime env {own_env} because "
                "of a conflict. Specifying the same runtime_env fields "
                "or the same environment variable keys is not allowed. "
                "Use RAY_OVERRIDE_JOB_RUNTIME_ENV=1 to instruct Ray to "
                "combine Job and Driver's runtime environment in the event of "
                "a conflict."
            )
        metadata.update(injected.get("metadata") or {})
    else:
        env = own_env if own_env else given.runtime_env if given else None
    if env:
        if not isinstance(env, dict):
            raise TypeError(f"runtime_env must be dict or RuntimeEnv, but got: {type(env)}")
        env, options["packages"] = _sendable(env)
    namespace = options["namespace"] or (given.ray_namespace if given else None)
    options["namespace"] = namespace
    logging_config = options["logging_config"] or getattr(given, "py_logging_config", None)
    return {
        "runtime_env": dict(env or {}),
        "metadata": metadata,
        "namespace": namespace,
        "sys_path": _module_paths(given),
        "logging_config": logging_config and logging_config.to_dict(),
        "default_actor_lifetime": getattr(given, "_default_actor_lifetime", "non_detached"),
    }


def _sendable(env):
    """(the environment in JSON's terms, what of it is put into the cluster once connected)."""
    from ray._private import setup_hook
    from ray._private.runtime_env import check

    env, packages = setup_hook.named(check(env))
    if env.get("working_dir") or env.get("py_modules"):
        from ray._private.packages import named

        env, more = named(env)
        packages = packages + more
    return env, packages


def _entrypoint():
    import shlex

    prefix = "(interactive_shell) " if hasattr(sys, "ps1") else ""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")[:-1]
    except OSError:
        words = sys.argv
    return prefix + shlex.join(words)


def _module_paths(given):
    """Where workers look for the modules that this script imports: beside the script."""
    paths = [os.path.abspath(path) for path in getattr(given, "code_search_path", None) or ()]
    script = sys.path[0] if sys.path else ""
    paths.append(os.path.abspath(script) if script else os.getcwd())
    return [path for path in dict.fromkeys(paths) if os.path.isdir(path)]


# ---- an existing cluster ---------------------------------------------------------------------------


def _existing(address, options):
    """host:port of the cluster to join, or None to start one."""
    from ray._private.address import resolve

    found = resolve(address, options["_temp_dir"])
    if found is not None:
        _log().info("Connecting to existing Ray cluster at address: %s...", found)
    return found


def _again(options):
    if not options["ignore_reinit_error"]:
        raise RuntimeError(
            "Maybe you called ray.init twice by accident? "
            "This error can be suppressed by passing in "
            "'ignore_reinit_error=True' or by calling "
            "'ray.shutdown()' prior to 'ray.init()'."
        )
    _log().info("Calling ray.init() again after it has already been called.")
    return RayContext(worker.global_worker.node.address_info)


def _join(gcs_address, address, options, job_config):
    for name, sentence in _NEW_ONLY:
        value = options[name]
        if value is not None and value is not False and value != {}:
            raise ValueError(sentence)
    from ray._private import auth
    from ray.exceptions import AuthenticationError

    token = auth.for_existing_cluster(address in (None, "auto"))
    errors = []
    for socket in _raylet_sockets(options["_temp_dir"]):
        try:
            _connect(socket, token, options, job_config)
        except (ConnectionError, AuthenticationError) as e:
            errors.append(e)
            continue
        if _same_gcs(_mobula.info()["gcs_address"], gcs_address):
            worker.global_worker.node = Session(None, job_config)
            return
        _mobula.disconnect(0)  # a node of another cluster on this machine
    _explain_no_raylet(gcs_address, options, errors)


def _same_gcs(of_raylet, wanted):
    """A cluster that was started on loopback says so, and is asked for by this machine's address."""
    host, _, port = of_raylet.rpartition(":")
    loopback = host.startswith("127.") or host in ("localhost", "[::1]", "::1")
    return of_raylet == wanted or (loopback and port == wanted.rpartition(":")[2])


def _raylet_sockets(temp_dir):
    """The sockets of this machine's raylets: of the session that started us, then newest first."""
    import glob

    from ray._private.address import default_temp_dir

    pattern = os.path.join(temp_dir or default_temp_dir(), "session_2*")
    sessions = sorted(glob.glob(pattern), reverse=True)
    own = os.environ.get("MOBULA_SESSION")
    for session in dict.fromkeys([own, *sessions] if own else sessions):
        yield from sorted(glob.glob(os.path.join(session, "sockets", "raylet*")))
    yield from _listening_raylets()


def _listening_raylets():
    """Those of sessions in other folders: the kernel knows what is bound."""
    try:
        with open("/proc/net/unix") as file:
            paths = {line.split()[-1] for line in file}
    except OSError:
        return
    for path in sorted(paths):
        if "/sockets/raylet" in path:
            yield path


def _explain_no_raylet(gcs_address, options, errors):
    from ray._private.address import current_cluster

    if gcs_address == current_cluster(options["_temp_dir"]):
        _log().info(
            "Failed to connect to the default Ray cluster address at "
            f"{gcs_address}. This is most likely due to a previous Ray "
            "instance that has since crashed. To reset the default "
            "address to connect to, run `ray stop` or restart Ray with "
            "`ray start`."
        )
    refused = [e for e in errors if not isinstance(e, ConnectionError)]
    cause = (refused or errors or [None])[0] or ConnectionError(
        f"no raylet of that cluster runs on this machine: `ray start --address={gcs_address}`"
    )
    raise ConnectionError(f"Failed to connect to Ray cluster at {gcs_address}") from cause


# ---- a new one -----------------------------------------------------------------------------------------


def _start(options, job_config):
    from ray._private import auth, cluster

    said = []
    token = auth.for_new_cluster(said.append)

    def meanwhile():
        set_up()
        for text in said:
            _log().warning(text)

    started = cluster.LocalCluster(options, token, meanwhile)
    try:
        _connect(started.raylet_socket, token, options, job_config)
    except BaseException:
        started.stop(wait=True)
        raise
    worker.global_worker.node = Session(started, job_config)


def _connect(socket, token, options, job_config):
    import json

    job_config["entrypoint"] = _entrypoint()
    _mobula.connect(
        1,
        socket,
        token.encode() if token else None,
        None,
        0,
        json.dumps(job_config),
        options["namespace"],
        job_config["metadata"].get("job_submission_id"),
        30.0,
    )


# ---- once connected ------------------------------------------------------------------------------------


def _connected(options):
    session = worker.global_worker.node
    worker._global_node = session
    worker.global_worker.mode = worker.SCRIPT_MODE
    for package in options.get("packages", ()):
        package.put()
    started = session.cluster is not None
    text = "Started a local Ray instance." if started else "Connected to Ray cluster."
    url = session.webui_url
    if url:
        _log().info(
            text + " View the dashboard at %s%s%s %s%s",
            "\x1b[1m",
            "\x1b[32m",
            "http://" + url,
            "\x1b[39m",
            "\x1b[22m",
        )
    else:
        _log().info(text)
    _show_logs(options, session)
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)
    for hook in worker._post_init_hooks:
        hook()
    return RayContext(session.address_info)


def _show_logs(options, session):
    wanted = options["log_to_driver"]
    if wanted is None:
        wanted = os.environ.get("RAY_LOG_TO_DRIVER", "1").lower() in ("1", "true")
    if wanted:
        from ray._private.driver_logs import LogThread

        session.logs = LogThread(session.info["node_ip"], options["logging_config"] is not None)


def _at_exit():
    worker.shutdown(_exiting_interpreter=True)


# How long an ending driver waits for the last lines of its workers. Raylets send them at once.
_LAST_LINES_S = 0.05


def shutdown(wait_for_processes, exiting_interpreter):
    with lock:
        session = worker.global_worker.node
        if session is not None and session.logs is not None:
            if exiting_interpreter:
                time.sleep(_LAST_LINES_S)
            session.logs.stop()
        serialization = sys.modules.get("ray._private.serialization")
        if serialization is not None:
            serialization.forget_session()
        _mobula.disconnect(0)
        worker.global_worker.node = worker._global_node = None
        worker.global_worker.mode = None
        if session is not None and session.cluster is not None:
            session.cluster.stop(wait=True)
