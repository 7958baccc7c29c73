# SPDX-License-Identifier: Apache-2.0
"""Ray Client, by its own functions: not there yet."""


def connect(conn_str, *args, **kwargs):
    raise NotImplementedError(
        f"{conn_str}: Ray Client is not part of Mobula yet. Run the driver on a node of the "
        "cluster, or submit it with `ray job submit`."
    )


def disconnect():
    """Ends a connection of Ray Client; there never is one."""
