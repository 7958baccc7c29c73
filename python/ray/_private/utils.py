# SPDX-License-Identifier: Apache-2.0
"""Small things that libraries of Ray borrow."""
import os

from ray._common.utils import (  # noqa: F401
    binary_to_hex,
    decode,
    get_system_memory,
    hex_to_binary,
    load_class,
    try_to_create_directory,
)
from ray._private import machine

INT32_MAX = 2**31 - 1


def get_num_cpus(override_docker_cpu_warning=False, truncate=True):
    """How many CPUs a node here has."""
    return machine.cpus()


def estimate_available_memory():
    """Bytes that nobody uses."""
    return machine.free_memory()


def get_used_memory():
    return machine.memory() - machine.free_memory()


def get_shared_memory_bytes():
    """How large /dev/shm is."""
    shared = os.statvfs("/dev/shm")
    return shared.f_frsize * shared.f_blocks


def get_directory_size_bytes(path="."):
    return sum(
        os.lstat(os.path.join(folder, name)).st_size
        for folder, _, names in os.walk(path)
        for name in names
    )


def get_user():
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def is_main_thread():
    import threading

    return threading.current_thread() is threading.main_thread()


def split_address(address):
    """(scheme, rest) of "scheme://rest"."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        raise ValueError("Address must contain '://'")
    return scheme, rest


def get_ray_doc_version():
    """The folder of Ray's documentation for this version."""
    import ray

    return f"releases-{ray.__version__}"
