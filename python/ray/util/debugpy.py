# SPDX-License-Identifier: Apache-2.0
"""Breakpoints in tasks and actors: the process waits for a debugger that speaks debugpy's protocol."""
import importlib
import logging
import sys
import threading

logger = logging.getLogger(__name__)
POST_MORTEM_ERROR_UUID = "post_mortem_error_uuid"
_lock = threading.Lock()
_listening = None


def _debugpy():
    try:
        return importlib.import_module("debugpy")
    except ImportError:
        logger.error(
            "Module 'debugpy>=1.8.0' cannot be loaded. "
            "Ray Debugpy Debugger will not work without 'debugpy>=1.8.0' installed. "
            "Install this module using 'pip install debugpy==1.8.0' "
        )
        return None


def _listen(debugpy):
    """Opens the port of this process, once."""
    global _listening
    from ray._private.address import node_ip

    with _lock:
        if _listening is None:
            _listening = debugpy.listen((node_ip(), 0))
            logger.info("Ray debugger is listening on %s:%s", *_listening)


def set_trace(breakpoint_uuid=None):
    """Stops here until a debugger is attached; goes on without one where debugpy is not installed."""
    debugpy = _debugpy()
    if debugpy is None:
        return
    _listen(debugpy)
    logger.info("Waiting for debugger to attach...")
    debugpy.wait_for_client()
    logger.info("Debugger client is connected")
    import pydevd

    pydevd.settrace(stop_at_frame=sys._getframe().f_back)
