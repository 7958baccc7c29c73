# SPDX-License-Identifier: Apache-2.0
"""Messages that are logged once."""
import time

_PERIOD = 60.0
_logged = set()
_disabled = False
_periodic = False
_last = 0.0


def log_once(key):
    """Is this the first time that `key` is asked for?"""
    global _last
    now = time.monotonic()
    if _disabled:
        return False
    if key not in _logged:
        _logged.add(key)
        _last = now
        return True
    if _periodic and now - _last > _PERIOD:
        _logged.clear()
        _last = now
    return False


def disable_log_once_globally():
    """From now on log_once() says False in this process."""
    global _disabled
    _disabled = True


def enable_periodic_logging():
    """From now on log_once() forgets after a minute without anything new."""
    global _periodic
    _periodic = True


def reset_log_once(key=None):
    """Forgets one key, or all."""
    if key is None:
        _logged.clear()
    else:
        _logged.discard(key)
