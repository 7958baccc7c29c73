# SPDX-License-Identifier: Apache-2.0
"""stdout and stderr of a worker: lines go out at once, and say whose they are.

Before the first line of another task comes a line `:task_name:NAME` (of an actor, once,
`:actor_name:NAME`), which the raylet takes out: it becomes the prefix on the driver.
"""
import io
import sys

from ray import _mobula

TASK_TOKEN, ACTOR_TOKEN = ":task_name:", ":actor_name:"


class _Stream(io.TextIOWrapper):
    """Text to a file descriptor, with those lines in between."""

    _named = None  # whose lines the reader takes these for
    _at_line_start = True

    def write(self, text):
        if self._at_line_start and text:
            name = _name()
            if name is not None and name != self._named:
                self._named = name
                super().write(name + "\n")
        if text:
            self._at_line_start = text.endswith("\n")
        return super().write(text)


def _name():
    """The naming line for what prints now, or None outside of tasks."""
    execution = sys.modules.get("ray._private.execution")
    if execution is not None and execution._Self.instance is not None:
        return ACTOR_TOKEN + execution.log_name(execution._Self.instance)
    name = _mobula.task_name()
    return None if name is None else TASK_TOKEN + name


def _stream(fd):
    raw = io.FileIO(fd, "w", closefd=False)
    return _Stream(
        io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )


def install():
    sys.stdout, sys.stderr = _stream(1), _stream(2)
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
