# SPDX-License-Identifier: Apache-2.0
"""The calls, and which groups this process is in."""
import logging
import os
import threading

import numpy as np

import ray
from ray.util.collective import types
from ray.util.collective.backend_registry import _global_registry, register_collective_backend
from ray.util.collective.collective_group.gloo_collective_group import GLOOGroup

logger = logging.getLogger(__name__)

register_collective_backend("GLOO", GLOOGroup)


def is_backend_available(backend):
    return _global_registry.check(backend)


def nccl_available():
    return is_backend_available("NCCL")


def gloo_available():
    return is_backend_available("GLOO")


# ---- groups --------------------------------------------------------------------------------------


class GroupManager:
    """The groups of one process by name."""

    def __init__(self):
        self._groups = {}

    def create_collective_group(self, backend, world_size, rank, group_name, gloo_timeout=None):
        backend = backend.upper()
        group_cls = _global_registry.get(backend)
        if not group_cls.check_backend_availability():
            raise RuntimeError(
                f"Backend {backend} is not available. Please check the installation."
            )
        more = (gloo_timeout,) if backend == "GLOO" else ()
        self._groups[group_name] = group_cls(world_size, rank, group_name, *more)
        return self._groups[group_name]

    def is_group_exist(self, group_name):
        return group_name in self._groups

    def get_group_by_name(self, group_name):
        if not self.is_group_exist(group_name):
            logger.warning(f"The group '{group_name}' is not initialized.")
            return None
        return self._groups[group_name]

    def destroy_collective_group(self, group_name):
        if not self.is_group_exist(group_name):
            logger.warning(f"The group '{group_name}' does not exist.")
            return
        self._groups.pop(group_name).destroy_group()
        try:
            ray.kill(ray.get_actor("info_" + group_name))
        except ValueError:
            pass


_group_mgr = GroupManager()
_group_mgr_lock = threading.Lock()


def is_group_initialized(group_name):
    with _group_mgr_lock:
        return _group_mgr.is_group_exist(group_name)


def init_collective_group(
    world_size, rank, backend=types.Backend.NCCL, group_name="default", gloo_timeout=30000
):
    """Makes this process a member; waits for the others."""
    _check_inside_actor()
    if not group_name:
        raise ValueError(f"group_name '{group_name}' needs to be a string.")
    with _group_mgr_lock:
        if _group_mgr.is_group_exist(group_name):
            raise RuntimeError("Trying to initialize a group a second time.")
        assert world_size > 0
        assert rank >= 0
        assert rank < world_size
        _group_mgr.create_collective_group(backend, world_size, rank, group_name, gloo_timeout)


def create_collective_group(
    actors, world_size, ranks, backend=types.Backend.NCCL, group_name="default", gloo_timeout=30000
):
    """Declares actors a group, from the driver: each becomes a member with its first call."""
    name = "info_" + group_name
    try:
        ray.get_actor(name)
        raise RuntimeError("Trying to initialize a group twice.")
    except ValueError:
        pass
    if len(ranks) != len(actors):
        raise RuntimeError(
            f"Each actor should correspond to one rank. Got '{len(ranks)}' "
            f"ranks but '{len(actors)}' actors"
        )
    if set(ranks) != set(range(len(ranks))):
        raise RuntimeError(
            f"Ranks must be a permutation from 0 to '{len(ranks)}'. "
            f"Got '{''.join(str(rank) for rank in ranks)}'."
        )
    if world_size <= 0:
        raise RuntimeError(f"World size must be greater than zero. Got '{world_size}'.")
    if max(ranks, default=0) >= world_size:
        raise RuntimeError("Ranks cannot be greater than world_size.")
    upper = backend.upper()
    if not _global_registry.is_registered(upper):
        raise RuntimeError(
            f"Backend {upper} is not registered. "
            f"Please register it using register_collective_backend('{upper}', YourBackendClass)."
        )
    if not _global_registry.check(upper):
        raise RuntimeError(
            f"Backend {upper} is registered but not available. "
            "Please check the installation requirements for this backend."
        )
    from ray.util.collective.util import Info

    info = Info.options(name=name, lifetime="detached").remote()
    ids = [actor._actor_id for actor in actors]
    ray.get(info.set_info.remote(ids, world_size, ranks, backend, gloo_timeout))


def destroy_collective_group(group_name="default"):
    _check_inside_actor()
    with _group_mgr_lock:
        _group_mgr.destroy_collective_group(group_name)


def get_rank(group_name="default"):
    """This process's rank, -1 when it is not in the group."""
    _check_inside_actor()
    with _group_mgr_lock:
        if not _group_mgr.is_group_exist(group_name):
            return -1
        return _group_mgr.get_group_by_name(group_name).rank


def get_collective_group_size(group_name="default"):
    """How many members the group has, -1 when this process is none of them."""
    _check_inside_actor()
    with _group_mgr_lock:
        if not _group_mgr.is_group_exist(group_name):
            return -1
        return _group_mgr.get_group_by_name(group_name).world_size


def _join_declared(group_name):
    """As create_collective_group() declared, else as the environment says."""
    try:
        info = ray.get_actor("info_" + group_name)
        ids, world_size, ranks, backend, timeout = ray.get(info.get_info.remote())
        own = ray.get_runtime_context().get_actor_id()
        rank = ranks[[each.hex() for each in ids].index(own)]
    except ValueError as e:
        if os.environ.get("collective_group_name") != group_name:
            raise RuntimeError(
                f"The collective group '{group_name}' is not initialized in the process."
            ) from e
        rank = int(os.environ["collective_rank"])
        world_size = int(os.environ["collective_world_size"])
        backend = os.environ["collective_backend"]
        timeout = int(os.getenv("collective_gloo_timeout", 30000))
    _group_mgr.create_collective_group(backend, world_size, rank, group_name, timeout)


def get_group_handle(group_name="default"):
    """This process's membership; a declared group is joined now."""
    _check_inside_actor()
    with _group_mgr_lock:
        if not _group_mgr.is_group_exist(group_name):
            _join_declared(group_name)
        return _group_mgr.get_group_by_name(group_name)


# ---- calls ---------------------------------------------------------------------------------------


def allreduce(tensor, group_name="default", op=types.ReduceOp.SUM):
    """Every member's tensor becomes the reduction of all."""
    _check_single_tensor_input(tensor)
    get_group_handle(group_name).allreduce([tensor], types.AllReduceOptions(reduceOp=op))


def barrier(group_name="default"):
    """Returns when all members have called it."""
    get_group_handle(group_name).barrier()


def reduce(tensor, dst_rank=0, group_name="default", op=types.ReduceOp.SUM):
    """The tensor of one member becomes the reduction of all."""
    _check_single_tensor_input(tensor)
    group = get_group_handle(group_name)
    _check_rank_valid(group, dst_rank)
    group.reduce([tensor], types.ReduceOptions(reduceOp=op, root_rank=dst_rank))


def broadcast(tensor, src_rank=0, group_name="default"):
    """Every member's tensor becomes that of one."""
    _check_single_tensor_input(tensor)
    group = get_group_handle(group_name)
    _check_rank_valid(group, src_rank)
    group.broadcast([tensor], types.BroadcastOptions(root_rank=src_rank))


def allgather(tensor_list, tensor, group_name="default"):
    """The tensors of all members, in the order of their ranks, in every member's list."""
    _check_single_tensor_input(tensor)
    _check_tensor_list_input(tensor_list)
    group = get_group_handle(group_name)
    if len(tensor_list) != group.world_size:
        raise RuntimeError(
            "The length of the tensor list operands to allgather must be equal to world_size."
        )
    group.allgather([tensor_list], [tensor], types.AllGatherOptions())


def reducescatter(tensor, tensor_list, group_name="default", op=types.ReduceOp.SUM):
    """Member r's tensor becomes the reduction of all members' tensor_list[r]."""
    _check_single_tensor_input(tensor)
    _check_tensor_list_input(tensor_list)
    group = get_group_handle(group_name)
    if len(tensor_list) != group.world_size:
        raise RuntimeError(
            "The length of the tensor list operands to reducescatter must not be equal to "
            "world_size."
        )
    group.reducescatter([tensor], [tensor_list], types.ReduceScatterOptions(reduceOp=op))


def send(tensor, dst_rank, group_name="default"):
    _check_single_tensor_input(tensor)
    group = get_group_handle(group_name)
    _check_rank_valid(group, dst_rank)
    if dst_rank == group.rank:
        raise RuntimeError(f"The destination rank '{dst_rank}' is self.")
    group.send([tensor], types.SendOptions(dst_rank=dst_rank))


def recv(tensor, src_rank, group_name="default"):
    _check_single_tensor_input(tensor)
    group = get_group_handle(group_name)
    _check_rank_valid(group, src_rank)
    if src_rank == group.rank:
        raise RuntimeError(f"The destination rank '{src_rank}' is self.")
    group.recv([tensor], types.RecvOptions(src_rank=src_rank))


# ---- several GPUs a process: there is no such backend here ------------------------------------------


def _needs_nccl(name, sentence="Multigpu calls requires NCCL and Cupy."):
    def call(*args, **kwargs):
        raise RuntimeError(sentence)

    call.__name__ = call.__qualname__ = name
    return call


allreduce_multigpu = _needs_nccl("allreduce_multigpu")
reduce_multigpu = _needs_nccl("reduce_multigpu")
broadcast_multigpu = _needs_nccl("broadcast_multigpu")
allgather_multigpu = _needs_nccl("allgather_multigpu")
reducescatter_multigpu = _needs_nccl("reducescatter_multigpu")
send_multigpu = _needs_nccl("send_multigpu", "send_multigpu call requires NCCL.")
recv_multigpu = _needs_nccl("recv_multigpu", "recv_multigpu call requires NCCL.")
synchronize = _needs_nccl("synchronize", "synchronize call requires CUDA and NCCL.")


# ---- checks --------------------------------------------------------------------------------------


def _check_inside_actor():
    if ray._private.worker.global_worker.mode != ray.WORKER_MODE:
        raise RuntimeError("The collective APIs shall be only used inside a Ray actor or task.")


def _check_single_tensor_input(tensor):
    if isinstance(tensor, np.ndarray):
        return
    if type(tensor).__module__.partition(".")[0] == "torch" and hasattr(tensor, "numpy"):
        return
    raise RuntimeError(
        f"Unrecognized tensor type '{type(tensor)}'. Supported types are: "
        "np.ndarray, torch.Tensor, cupy.ndarray."
    )


def _check_tensor_list_input(tensor_list):
    if not isinstance(tensor_list, list):
        raise RuntimeError(
            f"The input must be a list of tensors. Got '{type(tensor_list)}'."
        )
    if not tensor_list:
        raise RuntimeError("Got an empty list of tensors.")
    for tensor in tensor_list:
        _check_single_tensor_input(tensor)


def _check_rank_valid(group, rank):
    if rank < 0:
        raise ValueError(f"rank '{rank}' is negative.")
    if rank >= group.world_size:
        raise ValueError(
            f"rank '{rank}' must be less than world size '{group.world_size}'"
        )
