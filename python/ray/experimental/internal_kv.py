# SPDX-License-Identifier: Apache-2.0
"""The cluster's key-value table, as libraries use it."""
from ray import _mobula

_SPACE = "kv:"  # apart from what the system itself keeps; a namespace follows


def _bytes(text):
    return text.encode() if isinstance(text, str) else text


def _space(namespace):
    return _SPACE + (_bytes(namespace) or b"").decode("latin-1")


def _internal_kv_initialized():
    return _mobula.is_connected()


def _internal_kv_get(key, *, namespace=None):
    """The value, or None."""
    return _mobula.kv_get(_space(namespace), _bytes(key))


def _internal_kv_exists(key, *, namespace=None):
    return _internal_kv_get(key, namespace=namespace) is not None


def _internal_kv_put(key, value, overwrite=True, *, namespace=None):
    """Stores it; True if the key was there before, whose value stays without `overwrite`."""
    return not _mobula.kv_put(_space(namespace), _bytes(key), _bytes(value), overwrite)


def _internal_kv_del(key, *, del_by_prefix=False, namespace=None):
    """How many went."""
    return _mobula.kv_del(_space(namespace), _bytes(key), del_by_prefix)


def _internal_kv_list(prefix, *, namespace=None):
    """The keys that begin with `prefix`."""
    return _mobula.kv_keys(_space(namespace), _bytes(prefix))
