# SPDX-License-Identifier: Apache-2.0
"""Where things run: strategies, labels and placement groups on several nodes, GPUs of one."""

START = """
import time
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "labels": {"where": "head"}})
nodes = [cluster.add_node(num_cpus=2, labels={"where": name}) for name in ("left", "right")]
ray.init(address=cluster.address, log_to_driver=False)

@ray.remote
def where():
    return ray.get_runtime_context().get_node_id()

@ray.remote
def label():
    return ray.get_runtime_context().get_node_labels()["where"]

def all_is_free():  # leases are kept for a moment
    while ray.available_resources()["CPU"] < 5:
        time.sleep(0.01)
"""


def test_strategies(ray):
    out = ray.run(
        START
        + """
print(ray.get(label.options(label_selector={"where": "right"}).remote()))
print(ray.get(label.options(scheduling_strategy=On(nodes[0].node_id, False)).remote()))
other = [{"label_selector": {"where": "none"}}, {"label_selector": {"where": "left"}}]
print(ray.get(label.options(label_selector={"where": "up"}, fallback_strategy=other).remote()))

@ray.remote(num_cpus=1)
class Actor:
    def where(self):
        return ray.get_runtime_context().get_node_id()

all_is_free()
spread = [Actor.options(scheduling_strategy="SPREAD").remote() for _ in range(3)]
print(len(set(ray.get([actor.where.remote() for actor in spread]))))
"""
    )
    assert out == "right\nleft\nleft\n3\n"


def test_the_head_counts_a_group_once(ray):
    """Its node has made it, right after it got the leases of tasks back."""
    out = ray.run(
        """
import ray
ray.init(num_cpus=2, log_to_driver=False)

@ray.remote
def task():
    return 1

@ray.remote(num_cpus=1)
class Actor:
    def ping(self):
        return 1

ray.get([task.remote() for _ in range(4)])
group = ray.util.placement_group([{"CPU": 1}])
assert group.wait(20)
print(ray.get(Actor.remote().ping.remote(), timeout=20))
"""
    )
    assert out == "1\n"


def test_placement_groups_on_nodes(ray):
    out = ray.run(
        START
        + """
def made(strategy, count):
    all_is_free()
    pg = ray.util.placement_group([{"CPU": 1}] * count, strategy=strategy)
    if not pg.wait(20):
        return "waits"
    places = ray.util.placement_group_table(pg)["bundles_to_node_id"]
    ran = [ray.get(where.options(scheduling_strategy=In(pg, i)).remote()) for i in range(count)]
    ray.util.remove_placement_group(pg)
    return len(set(places.values())), ran == [places[i] for i in range(count)]

for strategy, count in (("STRICT_PACK", 2), ("PACK", 2), ("SPREAD", 3), ("STRICT_SPREAD", 3)):
    print(strategy, *made(strategy, count))
many = ray.util.placement_group([{"CPU": 1}] * 3, strategy="STRICT_SPREAD")
many.wait(20)
anywhere = where.options(scheduling_strategy=In(many))
print(len(ray.get([anywhere.remote() for _ in range(30)])))
left = ray.util.placement_group([{"CPU": 1}], bundle_label_selector=[{"where": "left"}])
print(left.wait(20), ray.get(label.options(scheduling_strategy=In(left)).remote()))
"""
    )
    assert out.splitlines() == [
        "STRICT_PACK 1 True",
        "PACK 1 True",
        "SPREAD 3 True",
        "STRICT_SPREAD 3 True",
        "30",
        "True left",
    ]


def test_a_group_survives_its_node(ray):
    """The bundles of a node that died move, and the actor in them follows."""
    out = ray.run(
        START
        + """
pg = ray.util.placement_group([{"CPU": 2}], strategy="PACK")

@ray.remote(max_restarts=-1, max_task_retries=-1, num_cpus=2)
class Actor:
    def where(self):
        return ray.get_runtime_context().get_node_id()

actor = Actor.options(scheduling_strategy=In(pg, 0)).remote()
first = ray.get(actor.where.remote())
cluster.remove_node(next(n for n in nodes if n.node_id == first), allow_graceful=False)
second = ray.get(actor.where.remote(), timeout=30)
table = ray.util.placement_group_table(pg)
print(first != second, table["bundles_to_node_id"][0] == second, table["state"])
"""
    )
    assert out == "True True CREATED\n"


def test_nothing_is_left_of_groups(ray):
    """Made and removed at any moment, by owners that stay and that die: all resources come back."""
    out = ray.run(
        """
        import time
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In

        ray.init(num_cpus=4, resources={"part": 10})

        @ray.remote(num_cpus=0)
        def inside():
            return 1

        for i in range(200):
            pg = ray.util.placement_group([{"CPU": 1, "part": 1}] * (1 + i % 3))
            if i % 4 == 1:
                pg.wait(10)
            if i % 4 == 2:
                inside.options(scheduling_strategy=In(pg)).remote()
            if i % 4 == 3:
                ray.get(inside.options(scheduling_strategy=In(pg)).remote())
            ray.util.remove_placement_group(pg)
        for _ in range(500):
            free = ray.available_resources()
            if free.get("CPU") == 4 and free.get("part") == 10:
                break
            time.sleep(0.02)
        print(free["CPU"], free["part"])
        """
    )
    assert out == "4.0 10.0\n"


def test_an_idle_lease_is_no_hindrance(ray):
    out = ray.run(
        """
        import time
        import ray

        ray.init(num_cpus=1)

        @ray.remote
        def f():
            return 1

        @ray.remote(num_cpus=0.5)
        def g():
            return 2

        print(ray.get([f.remote(), g.remote()]))
        began = time.monotonic()
        for _ in range(100):  # each would wait 50 ms for the other's lease
            ray.get(f.remote())
            ray.get(g.remote())
        print(time.monotonic() - began < 5)
        """
    )
    assert out == "[1, 2]\nTrue\n"


def test_a_queue_without_end_is_no_hindrance(ray):
    """Another process's call gets its turn though who holds the only worker's lease always has more."""
    out = ray.run(
        """
    import threading
    import time
    import ray

    ray.init(num_cpus=1)

    @ray.remote
    def short():
        time.sleep(0.002)

    @ray.remote(num_cpus=0)
    class Other:
        def ask(self):
            return ray.get(mine.remote(), timeout=30)

    @ray.remote
    def mine():
        return "had its turn"

    other = Other.remote()
    queued = [short.remote() for _ in range(200)]
    ray.get(queued[0])
    answer = other.ask.remote()
    until = time.monotonic() + 40
    while time.monotonic() < until and not ray.wait([answer], timeout=0)[0]:
        done, queued = ray.wait(queued, num_returns=50)
        queued += [short.remote() for _ in done]
    print(ray.get(answer))
    """
    )
    assert out == "had its turn\n"


def test_gpus_are_shown_to_workers(ray):
    out = ray.run(
        """
        import os
        import ray

        ray.init(num_cpus=4, num_gpus=3)

        @ray.remote
        class Holder:
            def see(self):
                return [int(i) for i in ray.get_gpu_ids()], os.environ.get("CUDA_VISIBLE_DEVICES")

        two = Holder.options(num_gpus=2).remote()
        ids, visible = ray.get(two.see.remote())
        print(len(ids), visible == ",".join(map(str, ids)))
        halves = [Holder.options(num_gpus=0.5).remote() for _ in range(2)]
        shared = ray.get([half.see.remote() for half in halves])
        print(shared[0] == shared[1], set(shared[0][0]).isdisjoint(ids))
        print(ray.get(Holder.remote().see.remote()))
        """
    )
    assert out == "2 True\nTrue True\n([], None)\n"
