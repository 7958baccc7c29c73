# SPDX-License-Identifier: Apache-2.0


class RayStateApiException(Exception):
    """The state could not be queried."""

    def __init__(self, err_msg, *args):
        super().__init__(f"Failed to query state: {err_msg}", *args)


class ServerUnavailable(RayStateApiException):
    """There is no cluster to ask."""
