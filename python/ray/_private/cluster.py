# SPDX-License-Identifier: Apache-2.0
"""The daemons that init() starts for a cluster of its own, and ends with it."""
import os
import select
import sys
import threading
import time


def binary():
    """The `mobula` program: MOBULA_BINARY, beside the interpreter, or on PATH."""
    here = os.path.dirname(os.path.abspath(sys.executable))
    candidates = [os.environ.get("MOBULA_BINARY"), os.path.join(here, "mobula")]
    candidates += [os.path.join(path, "mobula") for path in os.get_exec_path()]
    for path in candidates:
        if path and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(
        "The program `mobula` was not found beside the interpreter, on PATH or by MOBULA_BINARY: "
        "install the wheel, or source build/env.sh."
    )


class _Daemon:
    """One process, and the pipe on which it says that it is ready.

    `sockets`: option -> the listening socket it takes over.
    """

    def __init__(self, role, arguments, sockets, environment, log_path, stay_alive_fd):
        self.role = role
        self.log_path = log_path
        self._ready, theirs = os.pipe2(os.O_CLOEXEC)
        # 3: where it says that it is ready. 4: closes when we die, and it with us. 5...: sockets.
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, f"{log_path}.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_OPEN, 2, f"{log_path}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        ]
        kept = [_above(fd) for fd in (theirs, stay_alive_fd, *sockets.values())]
        actions += [(os.POSIX_SPAWN_DUP2, fd, 3 + i) for i, fd in enumerate(kept)]
        arguments = [*arguments, "--ready-fd", "3", "--life-fd", "4"]
        for number, option in enumerate(sockets, 5):
            arguments += [option, f"fd:{number}"]
        try:
            self.pid = os.posix_spawn(
                binary(),
                ["mobula", role, *arguments],
                environment,
                file_actions=actions,
                setsid=True,
            )
        finally:
            for fd in (theirs, *kept):
                os.close(fd)
            for sock in sockets.values():
                sock.close()
        self.status = None

    def ready(self, deadline):
        """What it said when it was ready. RuntimeError if it ended or took too long."""
        text = b""
        poll = select.poll()
        poll.register(self._ready, select.POLLIN)
        while not text.endswith(b"\n"):
            if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
                raise RuntimeError(f"{self.role} was not ready in time: {self._last_words()}")
            piece = os.read(self._ready, 65536)
            if not piece:
                raise RuntimeError(f"{self.role} ended at its start: {self._last_words()}")
            text += piece
        import json

        os.close(self._ready)
        self._ready = None
        said = json.loads(text)
        if said.get("error"):
            raise RuntimeError(f"{self.role}: {said['error']}")
        return said

    def _last_words(self):
        try:
            with open(f"{self.log_path}.err", "rb") as file:
                words = file.read()[-2000:].decode(errors="replace").strip()
        except OSError:
            words = ""
        return words or f"see {self.log_path}.err"

    def signal(self, number):
        if not self.ended():
            os.kill(self.pid, number)

    def ended(self):
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else reaped it
                pid, status = self.pid, 0
            if pid:
                self.status = status
        return self.status is not None


def _above(fd):
    """A copy of `fd` that no number of a daemon's own collides with."""
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


_STORE_MIN = 75 * 1024 * 1024


def _resources_json(options):
    from ray._private import machine

    store = options["object_store_memory"]
    if store is not None and store < _STORE_MIN:
        raise ValueError(
            f"Attempting to cap object store memory usage at {int(store)} bytes, but the minimum "
            f"allowed is {_STORE_MIN} bytes."
        )
    memory, default_store = machine.memory_shares()
    resources = {
        "CPU": machine.cpus() if options["num_cpus"] is None else options["num_cpus"],
        "memory": memory if options.get("_memory") is None else options["_memory"],
        "object_store_memory": default_store if store is None else int(store),
    }
    if options["num_gpus"] is not None:
        resources["GPU"] = options["num_gpus"]
    resources.update(options["resources"] or {})
    for name, amount in resources.items():
        _check_quantity(name, amount, resources)
    return _numbers_json(resources)


def _numbers_json(numbers):
    """json.dumps(), without its import where it can be: the cluster's processes start sooner."""
    if all(type(n) in (int, float) and _is_plain(name) for name, n in numbers.items()):
        return "{" + ", ".join(f'"{name}": {n!r}' for name, n in numbers.items()) + "}"
    import json

    return json.dumps(numbers)


def _is_plain(name):
    return type(name) is str and name.isascii() and name.isprintable() and not set(name) & {'"', "\\"}


_QUANTITY_MAX = 100e12


def _check_quantity(name, amount, resources):
    assert isinstance(amount, (int, float)), f"{name} ({type(amount)}): {amount}"
    violated = f"Violated by resource '{name}' in {resources}."
    if isinstance(amount, float) and not amount.is_integer():
        raise ValueError(f"Resource quantities must all be whole numbers. {violated}")
    if amount < 0:
        raise ValueError(f"Resource quantities must be nonnegative. {violated}")
    if amount > _QUANTITY_MAX:
        raise ValueError(f"Resource quantities must be at most {_QUANTITY_MAX}. {violated}")


class LocalCluster:
    """gcs, raylet and dashboard of a cluster on this machine that lives as long as its driver."""

    def __init__(self, options, token, meanwhile=None):
        """`meanwhile` is called while the processes start."""
        from ray._private import address

        resources = _resources_json(options)  # refused before anything is made
        self.temp_dir = options.get("_temp_dir") or address.default_temp_dir()
        self.node_ip = options.get("_node_ip_address") or address.node_ip()
        self.session_name = _session_name()
        self.session_dir = os.path.join(self.temp_dir, self.session_name)
        self.dashboard_address = ""
        self.daemons = []
        self._late_dashboard = None
        self._nodes_added = 0
        self._gcs_socket = None
        _make_temp_dir(self.temp_dir)
        for folder in ("logs", "sockets", "runtime_resources"):
            # Logs may be read by every user; sockets and environments are this user's own.
            mode = 0o755 if folder == "logs" else 0o700
            os.makedirs(os.path.join(self.session_dir, folder), mode, exist_ok=True)
        # The daemons see the end of this pipe when this process is gone, however it went.
        self._life, self._our_life = os.pipe2(os.O_CLOEXEC)
        self._environment = self._make_environment(token)
        try:
            self._start(options, resources, meanwhile or (lambda: None))
        except BaseException:
            self.stop(wait=True)
            raise

    def _make_environment(self, token):
        environment = dict(os.environ)
        environment["RAY_AUTH_MODE"] = "token" if token else "disabled"
        if token:
            environment["RAY_AUTH_TOKEN"] = token
        environment.pop("RAY_ADDRESS", None)
        environment.pop("RAY_JOB_CONFIG_JSON_ENV_VAR", None)
        return environment

    def _spawn(self, role, log_name, sockets, *arguments):
        path = os.path.join(self.session_dir, "logs", log_name)
        daemon = _Daemon(role, arguments, sockets, self._environment, path, self._life)
        self.daemons.append(daemon)
        return daemon

    def _start(self, options, resources, meanwhile):
        """All at once: the ports are ours before the daemons run, so none waits for another."""
        deadline = time.monotonic() + 30
        door = _listen(self.node_ip, 0)
        self.gcs_address = _address(door)
        page = self._open_page(options)
        doors = {"--listen": door, **self._open_gcs_socket()}
        # First the raylet: the interpreter that it starts at once takes longer than all else.
        raylet = self.raylet_daemon = self._spawn_raylet(options, resources)
        gcs = self._spawn_gcs(doors, options)
        dashboard = self._spawn_dashboard(page) if options["include_dashboard"] else None
        meanwhile()
        _warm_up()
        gcs.ready(deadline)
        self.raylet = raylet.ready(deadline)
        if dashboard:
            dashboard.ready(deadline)
        elif page:
            self._late_dashboard = _LateDashboard(self, page)

    def _open_page(self, options):
        """The dashboard's socket. Without one a cluster works as well: only who asked is refused."""
        if options["include_dashboard"] is False:
            return None
        host, port = options["dashboard_host"], options["dashboard_port"]
        try:
            page = _listen(host, port, 1) if port else _listen(host, 8265)
        except OSError as e:
            if options["include_dashboard"]:
                raise
            _warn(f"There is no dashboard: {e}")
            return None
        self.dashboard_address = _address(page)
        return page

    def _spawn_gcs(self, doors, options):
        arguments = ["--session-name", self.session_name]
        settings = options.get("_system_config")
        if settings:
            import json

            arguments += ["--settings", json.dumps(settings)]
        if self.dashboard_address:
            arguments += ["--dashboard-url", self.dashboard_address]
        return self._spawn("gcs", "gcs_server", doors, *arguments, *self._common())

    def _spawn_raylet(self, options, resources, number=0):
        """Number 0 is the head's; others join it."""
        metrics = options.get("_metrics_export_port")
        sockets = {
            "--agent-listen": _listen("127.0.0.1", 52365),
            "--metrics-listen": _listen("127.0.0.1", metrics or 0, 1),
        }
        name = f"raylet.{number}" if number else "raylet"
        arguments = self._raylet_arguments(options, resources)
        if number:
            arguments += ["--socket", os.path.join(self.session_dir, "sockets", name)]
        else:
            arguments.append("--head")
            if self._gcs_socket:
                arguments += ["--gcs-socket", self._gcs_socket]
        return self._spawn("raylet", name, sockets, *arguments, *self._common())

    def add_raylet(self, options):
        """One more node of the cluster, for tests: its process, and what it said when ready."""
        self._nodes_added += 1
        daemon = self._spawn_raylet(options, _resources_json(options), self._nodes_added)
        return daemon, daemon.ready(time.monotonic() + 30)

    def _spawn_dashboard(self, page):
        arguments = ("--gcs-address", self.gcs_address, "--session-dir", self.session_dir)
        return self._spawn("dashboard", "dashboard", {"--listen": page}, *arguments)

    def _common(self):
        return ("--temp-dir", self.temp_dir, "--node-ip", self.node_ip)

    def _raylet_arguments(self, options, resources):
        arguments = ["--gcs-address", self.gcs_address, "--session-name", self.session_name]
        arguments += ["--python", sys.executable, "--resources", resources]
        if options["labels"]:
            arguments += ["--labels", ",".join(f"{k}={v}" for k, v in options["labels"].items())]
        if options.get("object_spilling_directory"):
            arguments += ["--object-spilling-directory", options["object_spilling_directory"]]
        if options.get("_node_name"):
            arguments += ["--node-name", options["_node_name"]]
        return arguments

    def _open_gcs_socket(self):
        """By which the head's raylet reaches gcs. Where a path is too long for one it takes the port."""
        import _socket

        path = os.path.join(self.session_dir, "sockets", "gcs")
        local = _socket.socket(_socket.AF_UNIX)
        try:
            local.bind(path)
            local.listen(128)
        except OSError:
            local.close()
            return {}
        self._gcs_socket = path
        return {"--socket": local}

    @property
    def raylet_socket(self):
        return self.raylet["socket"]

    def stop(self, wait):
        """Asks all to end, and insists after 5 s."""
        import signal

        if self._late_dashboard:
            self._late_dashboard.cancel()
        for fd in (self._life, self._our_life):
            os.close(fd)
        for daemon in sorted(self.daemons, key=lambda d: d.role == "gcs"):  # raylets say goodbye
            daemon.signal(signal.SIGTERM)
        deadline = time.monotonic() + 5
        while not all(daemon.ended() for daemon in self.daemons):
            if time.monotonic() > deadline:
                for daemon in self.daemons:
                    daemon.signal(signal.SIGKILL)
                if not wait:
                    return
            time.sleep(0.005)
        if self._late_dashboard:
            self._late_dashboard.join()


class _LateDashboard:
    """Starts the dashboard once somebody connects to its socket, and soon in any case: while the
    driver's first task is on its way, nobody needs it, and it would take a CPU from who is needed."""

    DELAY_MS = 500
    PATIENCE_S = 30

    def __init__(self, cluster, page):
        self._cluster, self._page = cluster, page
        self._cancelled = False
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="ray_dashboard", daemon=True)
        self._thread.start()

    def _run(self):
        poll = select.poll()
        poll.register(self._page, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        poll.poll(self.DELAY_MS)
        try:
            with self._lock:
                if self._cancelled:
                    return
                daemon = self._cluster._spawn_dashboard(self._page)
            daemon.ready(time.monotonic() + self.PATIENCE_S)
        except (OSError, RuntimeError) as e:
            if not self._cancelled:
                self._cluster.dashboard_address = ""
                _warn(f"There is no dashboard: {e}")

    def cancel(self):
        """It is not started any more; if it was, it is among the cluster's daemons."""
        with self._lock:
            self._cancelled = True
        os.eventfd_write(self._wake, 1)

    def join(self):
        """After cancel(), and after the end of the daemon."""
        self._thread.join()
        os.close(self._wake)
        self._page.close()


def _listen(host, first, tries=1000):
    """A socket that listens at `first` or, where somebody has it, at the next free port; at any for
    port 0."""
    import _socket as socket  # its other half takes longer to import than a daemon to start
    import errno

    for port in range(first, first + tries) if first else (0,):
        sock = socket.socket()
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(128)
            return sock
        except OSError as e:
            sock.close()
            error = e
            if e.errno != errno.EADDRINUSE:
                break  # another port would not help
    ports = f"{first} to {first + tries - 1}" if tries > 1 else f"{first}"
    raise OSError(error.errno, f"no port can be had at {host} ({ports}): {error.strerror}")


def _warn(text):
    import logging

    from ray._private import init

    init.set_up()
    logging.getLogger("ray").warning(text)


def _make_temp_dir(path):
    """For all users, as /tmp is. One that is there already keeps its rights: it is somebody's."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        os.mkdir(path)
        os.chmod(path, 0o1777)
    except FileExistsError:
        pass


def _address(sock):
    return "%s:%d" % sock.getsockname()[:2]


def _session_name():
    now = time.time()
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(now))
    return f"session_{stamp}_{int(now % 1 * 1e6):06d}_{os.getpid()}"


def _warm_up():
    """While gcs starts: what the first task needs of this process."""
    from ray._private import driver_logs, runtime_env, serialization  # noqa: F401
