# SPDX-License-Identifier: Apache-2.0
"""Cloudpickle under Ray's name: the package from PyPI, not a copy."""
import cloudpickle as _package
from cloudpickle import *  # noqa: F401,F403
from cloudpickle import (  # noqa: F401
    CloudPickler,
    Pickler,
    cloudpickle,
    dump,
    dumps,
    load,
    loads,
    pickle,
    register_pickle_by_value,
    unregister_pickle_by_value,
)

__version__ = _package.__version__


def dump_debug(obj, *args, **kwargs):
    """dump(), with a report of what can't be pickled."""
    return _debugged(dump, obj, args, kwargs)


def dumps_debug(obj, *args, **kwargs):
    """dumps(), with a report of what can't be pickled."""
    return _debugged(dumps, obj, args, kwargs)


def _debugged(function, obj, args, kwargs):
    try:
        return function(obj, *args, **kwargs)
    except (TypeError, pickle.PicklingError) as e:
        import os

        if os.environ.get("RAY_PICKLE_VERBOSE_DEBUG") == "0":
            raise
        from ray._private.worker import _unserializable

        raise _unserializable(f"{e}\n", obj) from e
