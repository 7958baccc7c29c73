# SPDX-License-Identifier: Apache-2.0
"""Several raylets on one host are one cluster."""
import pytest
from head import free_port


@pytest.fixture
def cluster(ray):
    """A head and two nodes of 1 CPU each."""
    port = free_port()
    common = ["--num-cpus=1", f"--temp-dir={ray.folder}/ray"]
    head = ray.command(
        "start", "--head", f"--port={port}", f"--dashboard-port={free_port()}",
        f"--dashboard-agent-listen-port={free_port()}", *common,
    )
    assert head.returncode == 0, head.stdout
    address = (ray.folder / "ray/ray_current_cluster").read_text().strip()
    for _ in range(2):
        node = ray.command(
            "start", f"--address={address}", f"--dashboard-agent-listen-port={free_port()}", *common
        )
        assert node.returncode == 0, node.stdout
    return ray


def test_work_is_shared(cluster):
    out = cluster.run(
        """
        import time
        import ray
        ray.init()
        print(len(ray.nodes()), ray.cluster_resources()["CPU"])

        @ray.remote
        def where():
            time.sleep(0.3)
            return ray.get_runtime_context().get_node_id()

        print(len(set(ray.get([where.remote() for _ in range(12)]))))
        """
    )
    assert out == "3 3.0\n3\n"


def test_objects_travel(cluster):
    out = cluster.run(
        """
        import numpy, ray
        ray.init()

        @ray.remote
        def total(x):
            return float(x.sum()), ray.get_runtime_context().get_node_id()

        @ray.remote(num_cpus=1)
        class A:
            def big(self):
                return numpy.ones(500_000)

            def small(self):
                return 1

        x = ray.put(numpy.ones(1_000_000))
        sums = ray.get([total.options(scheduling_strategy="SPREAD").remote(x) for _ in range(6)])
        print({s for s, _ in sums}, len({n for _, n in sums}) > 1)
        actors = [A.remote() for _ in range(3)]
        print([float(ray.get(a.big.remote()).sum()) for a in actors])
        print(sum(ray.get([a.small.remote() for a in actors for _ in range(200)])))
        """
    )
    assert out == "{1000000.0} True\n[500000.0, 500000.0, 500000.0]\n600\n"


def test_one_value_for_all_nodes(ray):
    """Four nodes want the same large values at once, and small ones beside them."""
    out = ray.run(
        """
        import numpy, ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        nodes = [cluster.add_node(num_cpus=1, resources={f"n{i}": 1}) for i in range(4)]
        ray.init(address=cluster.address)

        @ray.remote(num_cpus=0)
        class Reader:
            def ready(self):
                return 1

            def check(self, x, small):
                return int(x[0]), int(x[-1]), x.nbytes, int(small.sum())

            def later(self, refs):
                return [int(x.sum()) for x in ray.get(refs)]

        readers = [Reader.options(resources={f"n{i}": 0.1}).remote() for i in range(4)]
        ray.get([r.ready.remote() for r in readers])
        for turn in range(3):
            x = numpy.arange(5_000_000) + turn
            large, small = ray.put(x), ray.put(numpy.ones(30_000))
            answers = ray.get([r.check.remote(large, small) for r in readers])
            print(turn, set(answers) == {(turn, turn + 4_999_999, x.nbytes, 30_000)})
        many = [ray.put(numpy.full(n, 1)) for n in (20_000, 2_000_000, 131_072, 600_000, 50_000) * 3]
        answers = ray.get([r.later.remote(many) for r in readers])
        print(all(a == [20_000, 2_000_000, 131_072, 600_000, 50_000] * 3 for a in answers))
        """
    )
    assert out == "0 True\n1 True\n2 True\nTrue\n"


def test_calls_go_near_what_they_read(ray):
    """To the node that has most of it, if that has room, and its copy here is not in use."""
    out = ray.run(
        """
        import time
        import numpy, ray
        from ray.cluster_utils import Cluster
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4})
        far = cluster.add_node(num_cpus=1).node_id
        ray.init(address=cluster.address)
        here = ray.get_runtime_context().get_node_id()
        there = On(far, False)

        @ray.remote
        def make():
            return numpy.ones(1_250_000)

        @ray.remote
        def where(x=None):
            return ray.get_runtime_context().get_node_id()

        @ray.remote(num_cpus=1)
        class Busy:
            def ready(self):
                return 1

        x = make.options(scheduling_strategy=there).remote()
        ray.wait([x], fetch_local=False)
        until = time.monotonic() + 30  # its place is free when the lease has gone back
        while ray.get(where.remote(x)) != far and time.monotonic() < until:
            time.sleep(0.01)
        print(ray.get(where.remote(x)) == far, ray.get(where.remote()) == here)
        value = ray.get(x)
        print(ray.get(where.remote(x)) == here)
        del value
        busy = Busy.options(scheduling_strategy=there).remote()
        ray.get(busy.ready.remote())
        print(ray.get([where.remote(x) for _ in range(4)]) == [here] * 4)
        """
    )
    assert out == "True True\nTrue\nTrue\n"


def test_two_drivers_and_a_detached_actor(cluster):
    cluster.run(
        """
        import ray
        ray.init(namespace="n")

        @ray.remote
        class A:
            def m(self):
                return "kept"

        a = A.options(name="a", lifetime="detached").remote()
        print(ray.get(a.m.remote()))
        """
    )
    out = cluster.run(
        """
        import ray
        ray.init(namespace="n")
        print(ray.get(ray.get_actor("a").m.remote()), ray.get_runtime_context().get_job_id())
        """
    )
    assert out == "kept 02000000\n"


def test_a_node_dies(cluster):
    out = cluster.run(
        """
        import os, signal, time
        import ray
        ray.init()

        @ray.remote(num_cpus=1, max_retries=0)
        def hang():
            time.sleep(60)

        @ray.remote(num_cpus=1)
        class A:
            def node(self):
                return ray.get_runtime_context().get_node_id(), os.getppid()

        actors = [A.remote() for _ in range(3)]
        places = ray.get([a.node.remote() for a in actors])
        mine = ray.get_runtime_context().get_node_id()
        other = next(i for i, (node, _) in enumerate(places) if node != mine)
        # The parent of a worker is its node's zygote, whose parent is the raylet.
        zygote = places[other][1]
        with open(f"/proc/{zygote}/stat") as file:
            raylet = int(file.read().rpartition(")")[2].split()[1])
        os.kill(raylet, signal.SIGKILL)
        try:
            ray.get(actors[other].node.remote(), timeout=30)
        except ray.exceptions.RayActorError as e:
            print(type(e).__name__)
        for _ in range(500):
            if sum(n["Alive"] for n in ray.nodes()) == 2:
                break
            time.sleep(0.05)
        print(sum(n["Alive"] for n in ray.nodes()))
        """
    )
    assert out == "ActorDiedError\n2\n"
