# SPDX-License-Identifier: Apache-2.0
"""`ray.util.pdb`: breakpoint() of workers comes here."""
import os
import sys


def set_trace(breakpoint_uuid=None):
    """A breakpoint in a task or actor: see ray.util.debugpy."""
    if os.environ.get("RAY_DEBUG", "1") == "legacy":
        raise NotImplementedError(
            "The debugger `ray debug` (RAY_DEBUG=legacy) is not part of Mobula. Unset RAY_DEBUG "
            "and install debugpy."
        )
    from ray.util import debugpy

    debugpy.set_trace(breakpoint_uuid)


def _driver_set_trace():
    """A breakpoint of the driver: Python's own debugger."""
    import pdb

    pdb.Pdb().set_trace(sys._getframe().f_back)
