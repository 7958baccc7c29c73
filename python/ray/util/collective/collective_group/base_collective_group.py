# SPDX-License-Identifier: Apache-2.0
from abc import ABCMeta, abstractmethod


class BaseGroup(metaclass=ABCMeta):
    """One process's membership in a group; a backend is a subclass."""

    def __init__(self, world_size, rank, group_name):
        self._world_size = world_size
        self._rank = rank
        self._group_name = group_name

    @property
    def rank(self):
        return self._rank

    @property
    def world_size(self):
        return self._world_size

    @property
    def group_name(self):
        return self._group_name

    def destroy_group(self):
        """Lets go of what the group holds."""

    @classmethod
    def backend(cls):
        raise NotImplementedError()

    @classmethod
    @abstractmethod
    def check_backend_availability(cls):
        raise NotImplementedError()

    @abstractmethod
    def allreduce(self, tensor, allreduce_options=None):
        raise NotImplementedError()

    @abstractmethod
    def barrier(self, barrier_options=None):
        raise NotImplementedError()

    @abstractmethod
    def reduce(self, tensor, reduce_options=None):
        raise NotImplementedError()

    @abstractmethod
    def allgather(self, tensor_list, tensor, allgather_options=None):
        raise NotImplementedError()

    @abstractmethod
    def broadcast(self, tensor, broadcast_options=None):
        raise NotImplementedError()

    @abstractmethod
    def reducescatter(self, tensor, tensor_list, reducescatter_options=None):
        raise NotImplementedError()

    @abstractmethod
    def send(self, tensor, send_options):
        raise NotImplementedError()

    @abstractmethod
    def recv(self, tensor, recv_options):
        raise NotImplementedError()
