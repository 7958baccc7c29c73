# SPDX-License-Identifier: Apache-2.0
"""Where this node and its cluster are."""
from ray._private.address import node_ip, resolve
from ray.util import get_node_instance_id  # noqa: F401


def get_node_ip_address(address=None):
    """The address of this node that others reach it by."""
    return node_ip()


def find_bootstrap_address(temp_dir=None):
    """The address of the cluster that was started last on this machine, or None."""
    from ray._private.address import current_cluster

    return current_cluster(temp_dir)


def canonicalize_bootstrap_address(addr, temp_dir=None):
    """host:port of what "auto", None or an address mean; None where nothing runs."""
    try:
        return resolve("auto" if addr is None else addr, temp_dir)
    except ConnectionError:
        return None


def canonicalize_bootstrap_address_or_die(addr, temp_dir=None):
    """The same; ConnectionError where nothing runs."""
    return resolve("auto" if addr is None else addr, temp_dir)
