# SPDX-License-Identifier: Apache-2.0
"""Several raylets on one host are one cluster."""
import socket

import pytest


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
