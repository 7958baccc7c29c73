# SPDX-License-Identifier: Apache-2.0
"""The backends of this process by name."""
from ray.util.annotations import PublicAPI
from ray.util.collective import types
from ray.util.collective.collective_group.base_collective_group import BaseGroup


class BackendRegistry:
    def __init__(self):
        self._map = {}

    def put(self, name, group_cls):
        if not issubclass(group_cls, BaseGroup):
            raise TypeError(f"{group_cls} is not a subclass of BaseGroup")
        if name.upper() in self._map:
            raise ValueError(f"Backend {name.upper()} already registered")
        self._map[name.upper()] = group_cls

    def get(self, name):
        name = name.upper()
        if name not in self._map:
            raise ValueError(f"Backend {name} not registered")
        return self._map[name]

    def is_registered(self, name):
        return name.upper() in self._map

    def check(self, name):
        """Is it registered, and can it be used here?"""
        try:
            return self.get(name).check_backend_availability()
        except (ValueError, AttributeError):
            return False


_global_registry = BackendRegistry()


@PublicAPI(stability="alpha")
def register_collective_backend(name, group_cls):
    """Adds a backend, a subclass of BaseGroup, in this process: on the driver and in every actor."""
    _global_registry.put(name, group_cls)
    if not hasattr(types.Backend, name.upper()):
        setattr(types.Backend, name.upper(), name.upper())
