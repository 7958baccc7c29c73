# SPDX-License-Identifier: Apache-2.0
"""The title of this process in ps and top: the memory of its command line, and its comm."""
import os

_title = None


def get():
    """The title that was set, else the command line."""
    if _title is not None:
        return _title
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def set(title):
    global _title
    _title = title
    from ray import _mobula

    _mobula.set_title(title)
