# SPDX-License-Identifier: Apache-2.0
"""The builder form of ray.init(): `ray.client("auto").namespace("n").connect()`."""
from ray._private.context import BaseContext  # noqa: F401


class ClientBuilder:
    """Collects the arguments of ray.init() and calls it."""

    def __init__(self, address):
        self.address = address
        self._arguments = {}

    def env(self, env):
        self._arguments["runtime_env"] = env
        return self

    def namespace(self, namespace):
        self._arguments["namespace"] = namespace
        return self

    def connect(self):
        import ray

        return ray.init(self.address, **self._arguments)


def client(address=None, _deprecation_warn_enabled=True):
    if _deprecation_warn_enabled:
        import warnings

        warnings.warn(
            "Starting a connection through `ray.client` will be deprecated "
            "in future ray versions in favor of `ray.init`.",
            DeprecationWarning,
            stacklevel=2,
        )
    return ClientBuilder(address)
