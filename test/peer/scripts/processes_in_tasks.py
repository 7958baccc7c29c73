# SPDX-License-Identifier: Apache-2.0
"""Tasks that start processes of their own, and what a worker's process looks like."""
import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading

import ray
from _show import Report


def square(x):
    return x * x


def main():
    report = Report()
    ray.init(num_cpus=2, log_to_driver=False)

    @ray.remote
    def run():
        done = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True)
        return done.returncode, done.stdout

    @ray.remote
    def status():
        return subprocess.run("exit 3", shell=True).returncode, os.system("exit 2") >> 8

    @ray.remote
    def popen():
        process = subprocess.Popen(["sleep", "100"])
        process.terminate()
        return process.wait()

    @ray.remote
    def fork():
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(square, range(4))

    @ray.remote
    def executor():
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(square, range(4)))

    @ray.remote
    def queue():
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        child = context.Process(target=lambda: results.put(os.getppid()))
        child.start()
        parent = results.get(timeout=60)
        child.join()
        return parent == os.getpid(), child.exitcode

    @ray.remote
    def own_fork():
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    @ray.remote
    def environment():
        return {
            "thread": threading.current_thread() is threading.main_thread(),
            "name": __name__,
            "main": sys.modules["__main__"].__name__,
            "interpreter": sys.executable == executable,
            "stdin": sys.stdin.read() if sys.stdin else None,
            "flags": sys.flags.optimize,
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "recursion": sys.getrecursionlimit(),
            "umask": oct(os.umask(os.umask(0o22) and 0o22)) and None,
            "method": multiprocessing.get_start_method(allow_none=True),
            "unbuffered": sys.stdout.line_buffering,
            "tty": sys.stdout.isatty(),
            "folder": os.getcwd() == folder,
            "path": folder in sys.path,
        }

    executable, folder = sys.executable, os.getcwd()
    for task in (run, status, popen, fork, executor, queue, own_fork):
        report.show(task._function_name.split(".")[-1], lambda: ray.get(task.remote(), timeout=120))
    for name, value in ray.get(environment.remote()).items():
        report.print(name, value)
    report.show("threads", lambda: ray.get(environment.options(num_cpus=2).remote())["threads"])
    report.show("zero", lambda: ray.get(environment.options(num_cpus=0).remote())["threads"])
    report.show("half", lambda: ray.get(environment.options(num_cpus=0.5).remote())["threads"])
    given = environment.options(runtime_env={"env_vars": {"OMP_NUM_THREADS": "7"}}).remote()
    report.show("given", lambda: ray.get(given)["threads"])

    # The driver may have children as well.
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        report.print(list(pool.map(square, range(4))))
    pid = os.fork()
    if pid == 0:
        os._exit(5)
    report.print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), ray.get(ray.put(1)))
    report.end()


if __name__ == "__main__":
    main()
