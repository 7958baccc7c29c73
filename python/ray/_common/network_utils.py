# SPDX-License-Identifier: Apache-2.0
"""Hosts and ports as text."""
import socket


def build_address(host, port):
    """host:port, with brackets around an address of IPv6."""
    return f"[{host}]:{port}" if host is not None and ":" in host else f"{host}:{port}"


def parse_address(address):
    """(host, port) of host:port; None where there is no port."""
    host, separator, port = address.rpartition(":")
    if not separator or (":" in host and not host.startswith("[")):
        return None
    return host.strip("[]"), port


def is_ipv6(host):
    return ":" in host


def is_localhost(host):
    return host in ("localhost", "127.0.0.1", "::1")


def find_free_port(family=socket.AF_INET):
    """A port that nobody listens on right now."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
