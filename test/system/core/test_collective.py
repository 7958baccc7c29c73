# SPDX-License-Identifier: Apache-2.0
"""ray.util.collective on CPU arrays."""

MEMBER = """
    import numpy as np
    import ray
    import ray.util.collective as col
    from ray.util.collective.types import ReduceOp

    ray.init(num_cpus=4)

    def sentence(call, *args):
        try:
            call(*args)
        except Exception as e:
            cause = getattr(e, "cause", e)
            return f"{type(cause).__name__}: {cause}"

    @ray.remote(num_cpus=0)
    class Member:
        def __init__(self, rank, size):
            self.rank, self.size = rank, size

        def init(self, group="default", timeout=30000):
            col.init_collective_group(self.size, self.rank, "gloo", group, timeout)
            return col.get_rank(group), col.get_collective_group_size(group)

        def all(self, length):
            rank, size = self.rank, self.size
            mine = np.arange(length, dtype=np.float64) * (rank + 1)
            whole = mine.copy()
            col.allreduce(whole)
            top = np.full((2, 3), rank, dtype=np.int32).T  # not contiguous
            col.allreduce(top, op=ReduceOp.MAX)
            reduced = mine.copy()
            col.reduce(reduced, dst_rank=size - 1, op=ReduceOp.SUM)
            told = np.full(5, rank)
            col.broadcast(told, src_rank=1)
            gathered = [np.zeros(3) for _ in range(size)]
            col.allgather(gathered, np.full(3, rank, dtype=np.float64))
            part = np.zeros(4)
            col.reducescatter(part, [np.full(4, r + rank, dtype=np.float64) for r in range(size)])
            got = np.zeros(7)
            if rank == 0:
                col.send(np.arange(7.0), 1)
            elif rank == 1:
                col.recv(got, 0)
            col.barrier()
            factor = sum(r + 1 for r in range(size))
            return (
                bool((whole == np.arange(length) * factor).all()),
                bool((top == size - 1).all()),
                bool((reduced == np.arange(length) * (factor if rank == size - 1 else rank + 1)).all()),
                told.tolist() == [1] * 5,
                [g[0] for g in gathered] == list(range(size)),
                part.tolist() == [float(rank * size + sum(range(size)))] * 4,
                rank != 1 or got.tolist() == list(map(float, range(7))),
            )

        def destroy(self, group="default"):
            col.destroy_collective_group(group)
            return col.get_rank(group), col.is_group_initialized(group)

        def refused(self, what):
            if what == "type":
                return sentence(col.allreduce, [1])
            if what == "rank":
                return sentence(col.send, np.zeros(1), 9)
            if what == "self":
                return sentence(col.send, np.zeros(1), self.rank)
            if what == "length":
                return sentence(col.allgather, [np.zeros(1)], np.zeros(1))
            if what == "twice":
                return sentence(col.init_collective_group, 1, 0, "gloo")
            if what == "unknown":
                return sentence(col.allreduce, np.zeros(1), "nobody")
            if what == "size":
                return sentence(col.allreduce, np.zeros(10 * (self.rank + 1)))
            if what == "multigpu":
                return sentence(col.allreduce_multigpu, [np.zeros(1)])
"""


def test_calls_of_a_group(ray):
    out = ray.run(
        MEMBER
        + """
    for size in (2, 3, 4):
        members = [Member.remote(rank, size) for rank in range(size)]
        print(ray.get([m.init.remote() for m in members]))
        for length in (0, 1, 5, 300_001):
            results = ray.get([m.all.remote(length) for m in members])
            assert all(map(all, results)), (size, length, results)
        print(set(ray.get([m.destroy.remote() for m in members])))
        print(len(ray.get([m.init.remote() for m in members])))  # the same name again
        for m in members:
            ray.kill(m)
    """
    )
    assert out == (
        "[(0, 2), (1, 2)]\n{(-1, False)}\n2\n"
        "[(0, 3), (1, 3), (2, 3)]\n{(-1, False)}\n3\n"
        "[(0, 4), (1, 4), (2, 4), (3, 4)]\n{(-1, False)}\n4\n"
    )


def test_declared_groups_and_refusals(ray):
    out = ray.run(
        MEMBER
        + """
    members = [Member.remote(rank, 2) for rank in range(2)]
    print(sentence(col.create_collective_group, members, 2, [0]))
    print(sentence(col.create_collective_group, members, 2, [1, 2]))
    print(sentence(col.create_collective_group, members, 2, [0, 1]))
    col.create_collective_group(members, 2, [0, 1], "gloo")
    print(sentence(col.create_collective_group, members, 2, [0, 1], "gloo"))
    print(ray.get([m.all.remote(10) for m in members]) == [(True,) * 7] * 2)
    for what in ("type", "rank", "self", "length", "twice", "unknown", "multigpu"):
        print(ray.get(members[0].refused.remote(what)))
    print(all("different sizes" in t for t in ray.get([m.refused.remote("size") for m in members])))
    print(sentence(col.barrier))
    alone = Member.remote(1, 2)
    print(sentence(ray.get, alone.init.remote("alone", 300)).partition(":")[0])
    print(col.gloo_available(), col.nccl_available())
    """
    )
    assert out == (
        "RuntimeError: Each actor should correspond to one rank. Got '1' ranks but '2' actors\n"
        "RuntimeError: Ranks must be a permutation from 0 to '2'. Got '12'.\n"
        "RuntimeError: Backend NCCL is not registered. Please register it using "
        "register_collective_backend('NCCL', YourBackendClass).\n"
        "RuntimeError: Trying to initialize a group twice.\n"
        "True\n"
        "RuntimeError: Unrecognized tensor type '<class 'list'>'. Supported types are: np.ndarray, "
        "torch.Tensor, cupy.ndarray.\n"
        "ValueError: rank '9' must be less than world size '2'\n"
        "RuntimeError: The destination rank '0' is self.\n"
        "RuntimeError: The length of the tensor list operands to allgather must be equal to "
        "world_size.\n"
        "RuntimeError: Trying to initialize a group a second time.\n"
        "RuntimeError: The collective group 'nobody' is not initialized in the process.\n"
        "RuntimeError: Multigpu calls requires NCCL and Cupy.\n"
        "True\n"
        "RuntimeError: The collective APIs shall be only used inside a Ray actor or task.\n"
        "TimeoutError\n"
        "True False\n"
    )


STRANGERS = """
    import socket
    import threading
    import time

    from ray.util.collective.collective_group import gloo_collective_group as gloo

    secret = b"s" * 32
    group = object.__new__(gloo.GLOOGroup)
    group._world_size, group._rank, group._group_name = 3, 0, "g"
    group._timeout, group._peers = 20, {}
    door = socket.create_server(("127.0.0.1", 0))
    where = door.getsockname()

    def say(data):
        caller = socket.create_connection(where)
        caller.sendall(data)
        return caller

    silent = [say(b"") for _ in range(80)]
    others = [
        say(b"s"),  # and no more
        say(gloo._HELLO.pack(b"x" * 32, 1, 7)),  # a wrong secret
        say(gloo._HELLO.pack(secret, 5, 7)),  # no member
        say(gloo._HELLO.pack(secret, 1, 71)),
        say(gloo._HELLO.pack(secret, 1, 72)),  # came already
        say(gloo._HELLO.pack(secret, 2, 73)),
    ]
    start = time.monotonic()
    table = group._gather(door, secret, {0: where}, start + 20)
    assert time.monotonic() - start < 10, time.monotonic() - start
    print([port for _, port in table[1:]])
    late = object.__new__(gloo.GLOOGroup)
    late._world_size, late._rank, late._group_name, late._timeout, late._peers = 2, 0, "g", 0.3, {}
    silent.append(say(b""))
    try:
        late._gather(door, secret, {0: where}, time.monotonic() + 0.3)
    except TimeoutError as e:
        print(e)
    """


def test_strangers_at_the_door_hold_up_nobody(ray):
    assert ray.run(STRANGERS).splitlines() == [
        "[71, 73]",
        "Timed out after 0.3 s: ranks [1] did not come in collective group 'g'.",
    ]
