# SPDX-License-Identifier: Apache-2.0
"""Marks on public names. They change nothing at run time."""


class RayDeprecationWarning(DeprecationWarning):
    """Shown once by default, unlike DeprecationWarning itself."""


def _mark(*args, **kwargs):
    if len(args) == 1 and not kwargs and callable(args[0]):
        return args[0]
    return lambda obj: obj


PublicAPI = DeveloperAPI = Deprecated = _mark
