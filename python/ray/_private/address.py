# SPDX-License-Identifier: Apache-2.0
"""Addresses: of a cluster to connect to, of an object's owner."""
import os
import struct


def default_temp_dir():
    """Where the sessions of this machine lie."""
    return os.path.join(os.environ.get("RAY_TMPDIR") or "/tmp", "ray")


def current_cluster(temp_dir=None):
    """The address that the last `ray start` or init() of this machine left, or None."""
    path = os.path.join(temp_dir or default_temp_dir(), "ray_current_cluster")
    try:
        with open(path) as file:
            return file.read().strip() or None
    except OSError:
        return None


def resolve(address, temp_dir=None):
    """host:port of the cluster that init(address) means, or None to start a new one."""
    if address == "local":
        return None
    if address in (None, "auto"):
        found = current_cluster(temp_dir)
        if found is None and address == "auto":
            raise ConnectionError(
                "Could not find any running Ray instance. "
                "Please specify the one to connect to by setting `--address` flag "
                "or `RAY_ADDRESS` environment variable."
            )
        return found
    return _with_ip(address)


def _with_ip(address):
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit():
        raise ValueError(f"Invalid address format: {address}")
    if host in ("localhost", "127.0.0.1", "::1"):
        host = node_ip()
    return f"{host}:{port}"


def node_ip():
    """The address of this machine that others reach it by."""
    from ray import _mobula

    if _mobula.is_connected():
        return _mobula.info()["node_ip"]
    import _socket

    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        probe.connect(("8.8.8.8", 53))  # no packet is sent
        return probe.getsockname()[0]
    except OSError:
        return "127.0.0.1"
    finally:
        probe.close()


def dashboard_url(address):
    """Where the dashboard of a cluster is that this process is not connected to."""
    import subprocess

    from ray._private.cluster import binary

    asked = subprocess.run(
        ["ray", "dashboard-url", "--address", address],
        executable=binary(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if asked.returncode:
        raise ConnectionError(asked.stderr.strip())
    return asked.stdout.strip()


def describe_owner(owner_address, where):
    """(text about the owner, where its logs are) for OwnerDiedError."""
    if len(owner_address) != 36:
        return None, where
    (peer,) = struct.unpack("<Q", owner_address[:8])
    worker = owner_address[8:].hex()
    node = peer >> 48
    return (
        f"Owner worker ID: {worker}, owner node number: {node}.",
        f"`/tmp/ray/session_latest/logs/*{worker}*`",
    )
