# SPDX-License-Identifier: Apache-2.0
"""What collective calls are asked with."""
import importlib.util
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum


def cupy_available():
    return importlib.util.find_spec("cupy") is not None


def torch_available():
    return importlib.util.find_spec("torch") is not None


class Backend:
    """Backend("gloo") is the name of the backend that is meant."""

    NCCL = "NCCL"
    GLOO = "GLOO"
    UNRECOGNIZED = "unrecognized"

    def __new__(cls, name):
        upper = name.upper()
        backend = getattr(Backend, upper, Backend.UNRECOGNIZED)
        if backend == Backend.UNRECOGNIZED:
            if upper == "TORCH_GLOO":
                return Backend.GLOO
            raise ValueError(
                f"Unrecognized backend: '{name}'. Only NCCL and GLOO are supported"
            )
        return backend


class ReduceOp(Enum):
    SUM = 0
    PRODUCT = 1
    MIN = 2
    MAX = 3


unset_timeout_ms = timedelta(milliseconds=-1)


@dataclass
class AllReduceOptions:
    reduceOp: ReduceOp = ReduceOp.SUM
    timeout_ms: timedelta = unset_timeout_ms


@dataclass
class BarrierOptions:
    timeout_ms: timedelta = unset_timeout_ms


@dataclass
class ReduceOptions:
    reduceOp: ReduceOp = ReduceOp.SUM
    root_rank: int = 0
    root_tensor: int = 0
    timeout_ms: timedelta = unset_timeout_ms


@dataclass
class AllGatherOptions:
    timeout_ms: timedelta = unset_timeout_ms


@dataclass
class BroadcastOptions:
    root_rank: int = 0
    root_tensor: int = 0
    timeout_ms: timedelta = unset_timeout_ms


@dataclass
class ReduceScatterOptions:
    reduceOp: ReduceOp = ReduceOp.SUM
    timeout_ms: timedelta = unset_timeout_ms


@dataclass
class SendOptions:
    dst_rank: int = 0
    dst_gpu_index: int = 0
    n_elements: int = 0
    timeout_ms: timedelta = unset_timeout_ms


@dataclass
class RecvOptions:
    src_rank: int = 0
    src_gpu_index: int = 0
    n_elements: int = 0
    timeout_ms: timedelta = unset_timeout_ms
