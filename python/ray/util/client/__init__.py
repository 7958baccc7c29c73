# SPDX-License-Identifier: Apache-2.0
"""Ray Client: what programs ask before they use it. Nothing is ever connected by it."""
from ray.util.client_connect import connect, disconnect


class _Client:
    """`from ray.util.client import ray`."""

    connect = staticmethod(connect)
    disconnect = staticmethod(disconnect)

    def is_connected(self):
        return False


ray = _Client()


def num_connected_contexts():
    return 0
