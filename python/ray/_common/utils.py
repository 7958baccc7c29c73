# SPDX-License-Identifier: Apache-2.0
"""Small things that libraries of Ray borrow."""
import asyncio
import binascii
import importlib
import os
import random
import string

_background = set()  # tasks that only the loop knows would be collected


def env_integer(key, default):
    text = os.environ.get(key, "")
    return int(text) if text.lstrip("-").isdigit() else default


def env_float(key, default):
    try:
        return float(os.environ[key])
    except (KeyError, ValueError):
        return default


def env_bool(key, default):
    text = os.environ.get(key)
    return default if text is None else text.lower() == "true" or text == "1"


def import_module_and_attr(full_path):
    """(module, attribute) of "package.module.attribute" or "package.module:attribute"."""
    separator = ":" if ":" in full_path else "."
    module_name, _, name = full_path.rpartition(separator)
    module = importlib.import_module(module_name)
    return module, getattr(module, name)


def import_attr(full_path, *, reload_module=False):
    module, attribute = import_module_and_attr(full_path)
    if reload_module:
        importlib.reload(module)
        attribute = import_module_and_attr(full_path)[1]
    return attribute


def load_class(path):
    """The class, or function, of "module.Name"."""
    if "." not in path:
        raise ValueError("Cannot import {}. Path must be of the form 'module.Name'.".format(path))
    return import_attr(path)


def get_or_create_event_loop():
    """The loop that runs here, or the thread's, made if it has none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    try:
        return asyncio.get_event_loop_policy().get_event_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop


def run_background_task(coroutine):
    """A task that nobody awaits."""
    task = get_or_create_event_loop().create_task(coroutine)
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task


def get_random_alphanumeric_string(length):
    return "".join(random.choices(string.ascii_letters + string.digits, k=length))


def binary_to_hex(identifier):
    return binascii.hexlify(identifier).decode()


def hex_to_binary(hex_identifier):
    return binascii.unhexlify(hex_identifier)


def decode(byte_str, allow_none=False, encode_type="utf-8"):
    if byte_str is None and allow_none:
        return ""
    if not isinstance(byte_str, bytes):
        raise ValueError(f"The argument {byte_str} must be a bytes object.")
    return byte_str.decode(encode_type)


def get_system_memory():
    """Bytes that this machine, or the container that we are in, has."""
    from ray._private import machine

    return machine.memory()


def get_default_system_temp_dir():
    return os.environ.get("RAY_TMPDIR") or "/tmp"


def get_default_ray_temp_dir():
    from ray._private.address import default_temp_dir

    return default_temp_dir()


def get_ray_address_file(temp_dir=None):
    """Where the address of the cluster that was started last stands."""
    return os.path.join(temp_dir or get_default_ray_temp_dir(), "ray_current_cluster")


def try_to_create_directory(directory_path):
    os.makedirs(os.path.expanduser(directory_path), exist_ok=True)
