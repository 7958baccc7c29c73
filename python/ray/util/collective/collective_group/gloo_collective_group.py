# SPDX-License-Identifier: Apache-2.0
"""Collective calls over TCP between the processes of a group, on CPU memory.

The members find each other through the cluster's key-value table: rank 0 leaves its address and a
secret there, the others call it, and it tells everybody where everybody is. Each pair then has one
connection. Reductions go round a ring, each member with a part of the array; broadcasts go down a
tree. Every wait ends at the group's timeout.
"""
import hmac
import json
import select
import selectors
import socket
import struct
import time

import numpy as np

from ray.util.collective.collective_group.base_collective_group import BaseGroup
from ray.util.collective.types import (
    AllReduceOptions,
    Backend,
    BroadcastOptions,
    ReduceOp,
    ReduceOptions,
    ReduceScatterOptions,
)

_SPACE = "collective"
_HELLO = struct.Struct("<32sII")  # the secret, the caller's rank, the port where it listens
_LENGTH = struct.Struct("<Q")
_TABLE_MAX = 1 << 20
_HELLO_PATIENCE = 5.0  # seconds, for who has come to say who it is
_STRANGERS_MAX = 64  # at the door at a time, beside the members
_DEFAULT_TIMEOUT_MS = 30000

_OPERATIONS = {
    ReduceOp.SUM: np.add,
    ReduceOp.PRODUCT: np.multiply,
    ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
}


def _array(tensor):
    """The numpy array with the memory of a tensor on the CPU."""
    if isinstance(tensor, np.ndarray):
        return tensor
    if hasattr(tensor, "detach"):
        return tensor.detach().numpy()
    raise ValueError(
        f"torch_gloo group only accepts torch.Tensor or numpy.ndarray, received {type(tensor)}"
    )


def _one(tensors):
    return _array(tensors[0] if isinstance(tensors, list) else tensors)


def _flat(array):
    """(the array as one row, whether it is the array's own memory)"""
    if array.flags.c_contiguous:
        return array.reshape(-1), True
    return np.ascontiguousarray(array).reshape(-1), False


def _bytes(flat):
    return memoryview(flat.view(np.uint8)) if flat.size else memoryview(b"")


class GLOOGroup(BaseGroup):
    def __init__(self, world_size, rank, group_name, gloo_timeout=None):
        super().__init__(world_size, rank, group_name)
        self._timeout = (gloo_timeout or _DEFAULT_TIMEOUT_MS) / 1000
        self._peers = {}
        try:
            if world_size > 1:
                self._meet()
        except BaseException:
            self.destroy_group()
            raise

    @classmethod
    def backend(cls):
        return Backend.GLOO

    @classmethod
    def check_backend_availability(cls):
        return True

    def destroy_group(self):
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()

    # ---- meeting -------------------------------------------------------------------------------

    def _late(self, what):
        return TimeoutError(
            f"Timed out after {self._timeout:g} s: {what} in collective group '{self._group_name}'."
        )

    def _meet(self):
        import secrets

        from ray import _mobula

        deadline = time.monotonic() + self._timeout
        ip = _mobula.info()["node_ip"]
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        key = self._group_name.encode()
        with socket.create_server((ip, 0), family=family, backlog=self._world_size) as door:
            port = door.getsockname()[1]
            if self._rank == 0:
                secret = secrets.token_hex(16).encode()
                _mobula.kv_put(_SPACE, key, json.dumps([ip, port, secret.decode()]).encode(), True)
                table = self._gather(door, secret, {0: (ip, port)}, deadline)
                _mobula.kv_del(_SPACE, key, False)
                for peer in self._peers.values():
                    self._send_block(peer, json.dumps(table).encode())
                return
            secret, table = self._call_first(key, port, deadline)
            for other in range(1, self._rank):
                self._peers[other] = self._call(table[other], secret, port, deadline)
            wanted = set(range(self._rank + 1, self._world_size))
            for _ in self._callers(door, secret, wanted, deadline):
                pass

    def _gather(self, door, secret, table, deadline):
        for rank, address in self._callers(door, secret, set(range(1, self._world_size)), deadline):
            table[rank] = address
        return [table[rank] for rank in range(self._world_size)]

    def _callers(self, door, secret, wanted, deadline):
        """Yields (rank, (ip, port)) of each caller that is wanted and knows the secret, until all have
        come. Whoever else is at the door, silent or not, holds up nobody, and not for long."""
        heard = {}  # caller -> (what it has said, its ip, when that has to be all)
        door.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(door, selectors.EVENT_READ)

            def leave(caller):
                selector.unregister(caller)
                del heard[caller]

            try:
                while wanted:
                    now = time.monotonic()
                    for caller in [c for c, (_, _, until) in heard.items() if until <= now]:
                        leave(caller)
                        caller.close()
                    if now >= deadline:
                        raise self._late(f"ranks {sorted(wanted)} did not come")
                    until = min([deadline, *(until for _, _, until in heard.values())])
                    for key, _ in selector.select(until - now):
                        caller = key.fileobj
                        if caller is door:
                            self._open(door, selector, heard)
                            continue
                        if caller not in heard:
                            continue  # sent away a moment ago
                        said, ip, _ = heard[caller]
                        if self._hears(caller, said):
                            continue
                        leave(caller)
                        rank, port = self._who(said, secret, wanted)
                        if rank is None:
                            caller.close()
                            continue
                        self._peers[rank] = self._ready(caller)
                        wanted.discard(rank)
                        yield rank, (ip, port)
            finally:
                for caller in heard:
                    caller.close()

    def _open(self, door, selector, heard):
        try:
            caller, address = door.accept()
        except OSError:
            return  # it left before it was let in
        if len(heard) >= self._world_size + _STRANGERS_MAX:
            oldest = next(iter(heard))
            selector.unregister(oldest)
            del heard[oldest]
            oldest.close()
        caller.setblocking(False)
        heard[caller] = bytearray(), address[0], time.monotonic() + _HELLO_PATIENCE
        selector.register(caller, selectors.EVENT_READ)

    @staticmethod
    def _hears(caller, said):
        """Takes what it says; is there more to come?"""
        try:
            piece = caller.recv(_HELLO.size - len(said))
        except BlockingIOError:
            return True
        except OSError:
            return False
        said += piece
        return bool(piece) and len(said) < _HELLO.size

    @staticmethod
    def _who(said, secret, wanted):
        """(rank, port), or (None, None) for a stranger."""
        if len(said) < _HELLO.size:
            return None, None
        told, rank, port = _HELLO.unpack(said)
        if not hmac.compare_digest(told, secret) or rank not in wanted:
            return None, None
        return rank, port

    def _call_first(self, key, port, deadline):
        """The secret and everybody's address, from rank 0: it may not be there yet, or be another one
        than that of a former group whose address is left."""
        from ray import _mobula

        while time.monotonic() < deadline:
            found = _mobula.kv_get(_SPACE, key)
            if found is not None:
                ip, first_port, secret = json.loads(found)
                try:
                    peer = self._call((ip, first_port), secret.encode(), port, deadline)
                    self._await_table(peer, key, found, deadline)
                    table = json.loads(self._read_block(peer))
                except (OSError, ConnectionError):
                    time.sleep(0.02)
                    continue
                self._peers[0] = peer
                return secret.encode(), [tuple(address) for address in table]
            time.sleep(0.02)
        raise self._late("rank 0 was not found")

    def _await_table(self, peer, key, found, deadline):
        """Rank 0 speaks once all have come. Who else has a former group's address says nothing, and the
        record is another one by and by."""
        from ray import _mobula

        while not select.select([peer], [], [], 0.2)[0]:
            if _mobula.kv_get(_SPACE, key) not in (None, found) or time.monotonic() >= deadline:
                peer.close()
                raise ConnectionError("the address was a former group's")

    def _call(self, address, secret, port, deadline):
        peer = socket.create_connection(address, timeout=max(0.001, deadline - time.monotonic()))
        try:
            peer.sendall(_HELLO.pack(secret, self._rank, port))
        except BaseException:
            peer.close()
            raise
        return self._ready(peer)

    def _ready(self, peer):
        peer.settimeout(self._timeout)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer

    # ---- bytes ---------------------------------------------------------------------------------

    @staticmethod
    def _read(peer, size):
        data = bytearray()
        while len(data) < size:
            piece = peer.recv(size - len(data))
            if not piece:
                raise ConnectionError("the other process has gone")
            data += piece
        return bytes(data)

    def _send_block(self, peer, data):
        peer.sendall(_LENGTH.pack(len(data)) + data)

    def _read_block(self, peer):
        (size,) = _LENGTH.unpack(self._read(peer, _LENGTH.size))
        if size > _TABLE_MAX:
            raise ConnectionError("a table of members is too long")
        return self._read(peer, size)

    def _exchange(self, to, out, source, into):
        """Sends `out` to one rank while `into` is filled by another; either may be None. Both have a
        length in front: members that call with different sizes are told instead of mixed up."""
        jobs, heads = {}, {}
        if out is not None:
            jobs["out"] = (self._peers[to], [memoryview(_LENGTH.pack(len(out))), out])
        if into is not None:
            heads["in"] = memoryview(bytearray(_LENGTH.size))
            jobs["in"] = (self._peers[source], [heads["in"], into])
        deadline = time.monotonic() + self._timeout
        with selectors.DefaultSelector() as selector:
            events = {}
            for name, (peer, _) in jobs.items():
                bit = selectors.EVENT_WRITE if name == "out" else selectors.EVENT_READ
                events.setdefault(peer, {})[bit] = name
                peer.setblocking(False)
            for peer, names in events.items():
                selector.register(peer, sum(names), names)
            try:
                while jobs:
                    left = deadline - time.monotonic()
                    ready = selector.select(left) if left > 0 else ()
                    if not ready:
                        raise self._late("a member did not take part")
                    for key, mask in ready:
                        for bit, name in key.data.items():
                            if mask & bit and name in jobs:
                                self._step(name, jobs, len(into) if into is not None else 0)
                        rest = sum(b for b, name in key.data.items() if name in jobs)
                        if rest and rest != key.events:
                            selector.modify(key.fileobj, rest, key.data)
                        elif not rest:
                            selector.unregister(key.fileobj)
            finally:
                for peer in events:
                    peer.settimeout(self._timeout)

    def _step(self, name, jobs, wanted):
        peer, parts = jobs[name]
        part = parts[0]
        if len(part):
            try:
                moved = peer.send(part) if name == "out" else peer.recv_into(part)
            except BlockingIOError:
                return
            if name == "in" and not moved:
                raise ConnectionError(
                    f"A member of collective group '{self._group_name}' has gone."
                )
            parts[0] = part[moved:]
            if name == "in" and len(parts) == 2 and not len(parts[0]):
                (size,) = _LENGTH.unpack(part.obj)
                if size != wanted:
                    raise RuntimeError(
                        f"Members of collective group '{self._group_name}' call with tensors of "
                        f"different sizes: {size} and {wanted} bytes."
                    )
        while parts and not len(parts[0]):
            parts.pop(0)
        if not parts:
            del jobs[name]

    # ---- calls ---------------------------------------------------------------------------------

    def _neighbours(self):
        return (self._rank + 1) % self._world_size, (self._rank - 1) % self._world_size

    def _ring_reduce(self, parts, operation):
        """parts[r] of all members are put together in member r's."""
        after, before = self._neighbours()
        room = np.empty(max(part.size for part in parts), parts[0].dtype)
        for step in range(1, self._world_size):
            out = parts[(self._rank - step) % self._world_size]
            into = parts[(self._rank - step - 1) % self._world_size]
            got = room[: into.size]
            self._exchange(after, _bytes(out), before, _bytes(got))
            operation(into, got, out=into)

    def _ring_gather(self, parts):
        """parts[r] of member r comes to all."""
        after, before = self._neighbours()
        for step in range(self._world_size - 1):
            out = parts[(self._rank - step) % self._world_size]
            into = parts[(self._rank - step - 1) % self._world_size]
            self._exchange(after, _bytes(out), before, _bytes(into))

    def allreduce(self, tensor, allreduce_options=None):
        options = allreduce_options or AllReduceOptions()
        array = _one(tensor)
        if self._world_size == 1:
            return
        flat, own = _flat(array)
        parts = np.array_split(flat, self._world_size)
        self._ring_reduce(parts, _OPERATIONS[options.reduceOp])
        self._ring_gather(parts)
        if not own:
            array[...] = flat.reshape(array.shape)

    def barrier(self, barrier_options=None):
        self.allreduce(np.zeros(self._world_size, np.uint8))

    def reduce(self, tensor, reduce_options=None):
        options = reduce_options or ReduceOptions()
        array = _one(tensor)
        flat, _ = _flat(array)
        flat = flat.copy()
        place, bit = (self._rank - options.root_rank) % self._world_size, 1
        operation, room = _OPERATIONS[options.reduceOp], np.empty_like(flat)
        while bit < self._world_size:  # up a tree of which the root's place is 0
            if place & bit:
                above = (place - bit + options.root_rank) % self._world_size
                self._exchange(above, _bytes(flat), None, None)
                return
            if place + bit < self._world_size:
                below = (place + bit + options.root_rank) % self._world_size
                self._exchange(None, None, below, _bytes(room))
                operation(flat, room, out=flat)
            bit <<= 1
        array[...] = flat.reshape(array.shape)

    def broadcast(self, tensor, broadcast_options=None):
        options = broadcast_options or BroadcastOptions()
        array = _one(tensor)
        flat, own = _flat(array)
        place, bit = (self._rank - options.root_rank) % self._world_size, 1
        while bit < self._world_size and not place & bit:
            bit <<= 1
        if place:
            above = (place - bit + options.root_rank) % self._world_size
            self._exchange(None, None, above, _bytes(flat))
        while bit > 1:
            bit >>= 1
            if place + bit < self._world_size:
                below = (place + bit + options.root_rank) % self._world_size
                self._exchange(below, _bytes(flat), None, None)
        if not own:
            array[...] = flat.reshape(array.shape)

    def allgather(self, tensor_list, tensor, allgather_options=None):
        outputs = [_array(each) for each in tensor_list[0]]
        own, _ = _flat(_one(tensor))
        parts = [np.empty_like(own) for _ in outputs]
        parts[self._rank][...] = own
        self._ring_gather(parts)
        for output, part in zip(outputs, parts):
            output[...] = part.reshape(output.shape)

    def reducescatter(self, tensor, tensor_list, reducescatter_options=None):
        options = reducescatter_options or ReduceScatterOptions()
        output, inputs = _one(tensor), [_array(each) for each in tensor_list[0]]
        if output.shape != inputs[self._rank].shape:
            raise ValueError(
                f"Output tensor has wrong shape {output.shape}, expected "
                f"{inputs[self._rank].shape}"
            )
        parts = [np.array(each).reshape(-1) for each in inputs]
        self._ring_reduce(parts, _OPERATIONS[options.reduceOp])
        output[...] = parts[self._rank].reshape(output.shape)

    def send(self, tensor, send_options):
        flat, _ = _flat(_one(tensor))
        self._exchange(send_options.dst_rank, _bytes(flat), None, None)

    def recv(self, tensor, recv_options):
        array = _one(tensor)
        flat, own = _flat(array)
        self._exchange(None, None, recv_options.src_rank, _bytes(flat))
        if not own:
            array[...] = flat.reshape(array.shape)
