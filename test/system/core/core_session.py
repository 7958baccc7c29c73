# SPDX-License-Identifier: Apache-2.0
"""The runtime from Python, by real processes: each test's sessions lie in a folder of its own."""
import os
import pathlib
import subprocess
import sys
import textwrap
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("MOBULA_BUILD", TOP / "build"))


def environment(folder):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return {
        **kept,
        "PATH": f"{BUILD}/bin:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(BUILD / "python"),
        "RAY_AUTH_MODE": "disabled",
        "RAY_TMPDIR": str(folder),
    }


def processes_of(folder):
    """{pid: command line} of what runs with this folder in its arguments or environment."""
    found, needle = {}, str(folder).encode()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes()
            if needle in text or needle in (entry / "environ").read_bytes():
                found[int(entry.name)] = text.replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    return found


def until(condition, seconds=10):
    """What `condition` returns once that is true, or at the end of the time."""
    deadline = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return result


class Ray:
    """Runs scripts and `ray` commands with a temporary folder as session folder."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = environment(folder)
        self.prefix = []  # a command that scripts run under

    def start(self, script, **extra):
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-c", textwrap.dedent(script)],
            env={**self.environment, **extra}, text=True, cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )

    def run(self, script, timeout=60, **extra):
        """stdout of a script, which must end well."""
        process = self.start(script, **extra)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"took longer than {timeout} s\n{out}\n{err}\n{self.logs()}")
        assert process.returncode == 0, f"{out}\n{err}\n{self.logs()}"
        return out

    def command(self, *words):
        return subprocess.run(
            ["ray", *words], env=self.environment, text=True, timeout=60, cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )

    def logs(self):
        """The ends of the session's logs, for a failure's message."""
        text = []
        for path in sorted(self.folder.glob("ray/session_2*/logs/*")):
            if path.is_file() and path.stat().st_size:
                text.append(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}")
        return "\n".join(text)[-12000:]

    def processes(self):
        return processes_of(self.folder)
