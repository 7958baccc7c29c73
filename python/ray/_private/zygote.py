# SPDX-License-Identifier: Apache-2.0
"""The process that workers are forked from. What it says and hears is in src/python/README.md.

It has one thread, and has imported what every worker needs. A fork shares that memory.
"""
import _socket as socket  # without what `socket` puts around it, which the first task would wait for
import array
import gc
import json
import os
import signal
import sys
import threading

_FD = 3
_PACKET_MAX = 192 * 1024


class Zygote:
    def __init__(self, sock):
        self.socket = sock
        self.wake, self.waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def say(self, packet, *fds):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([json.dumps(packet).encode()], control)

    def run(self):
        """Serves until the raylet closes the socket."""
        import select

        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.say({"ready": os.getpid()})
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        complete, timeout = False, 0  # what waits already comes before the rest of the imports
        while True:
            events = poll.poll(timeout)
            for fd, _ in events:
                if fd == self.wake:
                    self._reap()
                elif not self._serve():
                    return
            if not complete:
                _import_the_rest()
                complete, timeout = True, None

    def _reap(self):
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self.say({"exited": pid, "status": status})

    def _serve(self):
        """One request. False at the end."""
        text, fds = self._receive()
        if not text:
            return False
        number = None
        try:
            request = json.loads(text)
            number = request["fork"]
            self._fork(number, request, fds)
        except Exception as e:
            self.say({"forked": number, "error": f"{type(e).__name__}: {e}"})
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _receive(self):
        fds = array.array("i")
        text, control, _, _ = self.socket.recvmsg(
            _PACKET_MAX, socket.CMSG_SPACE(4 * fds.itemsize), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, data in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        return text, list(fds)

    def _fork(self, number, request, fds):
        if len(fds) != 2:
            raise ValueError("a fork needs two file descriptors: stdout and stderr")
        if threading.active_count() != 1 or _threads() != 1:
            raise RuntimeError("the zygote has more than one thread")
        pid = os.fork()
        if pid == 0:
            _become_worker(request, fds)
        pidfd = os.pidfd_open(pid)  # it can't be another process: only we reap
        try:
            self.say({"forked": number, "pid": pid}, pidfd)
        finally:
            os.close(pidfd)


def _threads():
    return len(os.listdir("/proc/self/task"))


def _become_worker(request, fds):
    """In the child; does not return."""
    code = 1
    try:
        _reset_process(fds)
        _apply(request)
        _reseed()
        gc.unfreeze()
        gc.enable()
        from ray._private import execution

        code = execution.run(request["config"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _reset_process(fds):
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setsid()
    null = os.open("/dev/null", os.O_RDONLY)
    for number, fd in enumerate((null, *fds)):
        os.dup2(fd, number)
    os.closerange(3, max(int(fd) for fd in os.listdir("/proc/self/fd")) + 1)
    from ray._private import worker_output

    worker_output.install()


def _apply(request):
    for name, value in (request.get("env") or {}).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if request.get("cwd"):
        os.chdir(request["cwd"])
    paths = [path for path in request.get("sys_path") or () if path not in sys.path]
    sys.path[:0] = paths
    if request.get("title"):
        from ray._private import proctitle

        proctitle.set(request["title"])


def _reseed():
    """What was random in the zygote must not be the same in all its children."""
    random = sys.modules.get("random")
    if random is not None:
        random.seed()
    ssl = sys.modules.get("ssl")
    if ssl is not None:
        ssl.RAND_add(os.urandom(32), 32.0)
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        uuid._last_timestamp = None
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _import_what_tasks_need():
    """What a worker needs before its first task runs: the first one of a node is waited for."""
    import cloudpickle  # noqa: F401

    from ray._private import (  # noqa: F401
        execution,
        logging_setup,
        proctitle,
        worker_output,
    )

    logging_setup.ensure()  # as in a driver; what pickles has imported logging
    gc.freeze()


def _import_the_rest():
    """What most workers need at some time."""
    import socket  # noqa: F401
    import traceback  # noqa: F401

    import ray.actor  # noqa: F401
    import ray.remote_function  # noqa: F401
    import ray.runtime_context  # noqa: F401
    from ray._private import (  # noqa: F401
        calls,
        options,
        runtime_env,
        serialization,
        state,
    )

    gc.collect()
    gc.freeze()


def main():
    gc.disable()  # what is imported stays
    sys.path[0] = os.getcwd()  # as -m has it
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=os.dup(_FD))
    os.close(_FD)
    os.set_inheritable(sock.fileno(), False)
    _import_what_tasks_need()
    Zygote(sock).run()
