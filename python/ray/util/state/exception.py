# SPDX-License-Identifier: Apache-2.0


class DataSourceUnavailable(Exception):
    """A daemon that has part of the answer does not answer."""


class RayStateApiException(Exception):
    """The state could not be queried."""


class ServerUnavailable(RayStateApiException):
    """The dashboard can't be reached."""
