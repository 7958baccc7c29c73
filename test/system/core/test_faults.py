# SPDX-License-Identifier: Apache-2.0
"""SIGKILL to a node's raylet while something is under way, and to a driver with much of its own: every wait ends,
by a result or an error that says so, and nothing is left."""
import contextlib
import os
import pathlib
import random
import signal

import pytest
from core_session import until
from head import free_port

LIMIT = 60  # seconds for a script, whatever is killed
MOMENTS = int(os.environ.get("MOMENTS", "2"))

# Each is done again and again for a while; `lost` are the errors that a death may cause.
COMMON = """
import os, time
import numpy, ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
lost = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError,
        ray.exceptions.ObjectLostError, ray.exceptions.GetTimeoutError)

@ray.remote(num_cpus=1, max_retries=5)
def square(x):
    return x * x

@ray.remote(num_cpus=1, max_retries=5)
def large(x):
    return numpy.full(400_000, float(x))

@ray.remote(num_cpus=1, max_restarts=1)
class Counter:
    def __init__(self):
        self.count = 0

    def add(self):
        self.count += 1
        return self.count

def leases():
    spread = square.options(scheduling_strategy="SPREAD")
    assert ray.get([spread.remote(i) for i in range(20)], timeout=30) == [i * i for i in range(20)]

def creations():
    counters = [Counter.remote() for _ in range(2)]
    for counter in counters:
        try:
            assert ray.get(counter.add.remote(), timeout=30) >= 1
        except lost as e:
            assert not isinstance(e, ray.exceptions.GetTimeoutError), "a call of an actor hangs"

def groups():
    group = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="SPREAD")
    assert group.wait(30), "a placement group is never there"
    strategy = PlacementGroupSchedulingStrategy(group)
    assert ray.get(square.options(scheduling_strategy=strategy).remote(3), timeout=30) == 9
    remove_placement_group(group)

def pulls():
    spread = large.options(scheduling_strategy="SPREAD")
    refs = [spread.remote(i) for i in range(6)]
    for i, ref in enumerate(refs):
        assert ray.get(ref, timeout=30)[-1] == i
"""

AT_WORK = COMMON + """
ray.init()
print("begun", flush=True)
until = time.monotonic() + 1.5
while time.monotonic() < until:
    WORK()
for _ in range(200):
    alive = [n for n in ray.nodes() if n["Alive"]]
    if len(alive) == 1:
        break
    time.sleep(0.05)
print("nodes", len(alive), flush=True)
WORK()
for _ in range(400):
    free = ray.available_resources().get("CPU")
    if free == 2.0:
        break
    time.sleep(0.05)
print("free", free)
"""


def daemons(ray, role):
    return [pid for pid, text in ray.processes().items() if text.startswith(f"mobula {role} ")]


def rings(pid):
    """How many the raylet has mapped: one for each two processes that call each other."""
    return pathlib.Path(f"/proc/{pid}/maps").read_text().count("/memfd:ring ")


@pytest.fixture
def pair(ray):
    """A head and a node of 2 CPUs each; `ray.node` is the other node's raylet."""
    common = ["--num-cpus=2", f"--temp-dir={ray.folder}/ray", "--object-store-memory=200000000"]
    head = ray.command("start", "--head", f"--port={free_port()}",
                       f"--dashboard-port={free_port()}",
                       f"--dashboard-agent-listen-port={free_port()}", *common)
    assert head.returncode == 0, head.stdout
    ray.head = daemons(ray, "raylet")[0]
    address = (ray.folder / "ray/ray_current_cluster").read_text().strip()
    node = ray.command("start", f"--address={address}",
                       f"--dashboard-agent-listen-port={free_port()}", *common)
    assert node.returncode == 0, node.stdout
    ray.node = next(pid for pid in daemons(ray, "raylet") if pid != ray.head)
    return ray


def descendants(pid):
    found = []
    with contextlib.suppress(OSError):
        for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def alive(pids):
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def running(ray):
    """Those that parents and children have told of."""
    return [int(path.name.partition("-")[2]) for path in ray.folder.glob("runs-*")]


@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("work", ["leases", "creations", "groups", "pulls"])
def test_a_raylet_is_killed(pair, work, moment):
    process = pair.start(AT_WORK.replace("WORK", work))
    try:
        assert process.stdout.readline() == "begun\n", process.stderr.read() + pair.logs()
        delay = random.Random(f"{work} {moment}").uniform(0, 1)
        until(lambda: process.poll() is not None, delay)
        theirs = descendants(pair.node)
        os.kill(pair.node, signal.SIGKILL)
        out, err = process.communicate(timeout=LIMIT)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    print(f"killed after {delay:.3f} s")
    assert out == "nodes 1\nfree 2.0\n", f"{out}\n{err}\n{pair.logs()}"
    assert until(lambda: not alive(theirs)), pair.processes()
    assert until(lambda: not rings(pair.head)), "rings are left"


LEAVES = COMMON + """
ray.init(namespace="n")

@ray.remote(num_cpus=0.5)
def child(folder):
    open(f"{folder}/runs-{os.getpid()}", "w").close()
    time.sleep(600)

@ray.remote(num_cpus=0.5)
def parent(folder):
    open(f"{folder}/runs-{os.getpid()}", "w").close()
    ray.get([child.remote(folder), child.remote(folder)])

@ray.remote(num_cpus=0.5)
class Kept:
    def ping(self):
        return os.getpid()

kept = Kept.options(name="kept", lifetime="detached").remote()
mine = Kept.remote()
pids = ray.get([kept.ping.remote(), mine.ping.remote()])
value = ray.put(numpy.ones(1_000_000))
parents = [parent.remote(os.getcwd()) for _ in range(2)]
group = placement_group([{"CPU": 0.5}], strategy="PACK")
group.wait(30)
print(*pids, flush=True)
time.sleep(600)
"""

LOOKS = """
import ray, time
ray.init(namespace="n")
for _ in range(400):
    free = ray.available_resources().get("CPU")
    if free == 3.5:
        break
    time.sleep(0.05)
kept = ray.get_actor("kept")
print("free", free, ray.get(kept.ping.remote()))
ray.kill(kept)
for _ in range(400):
    free = ray.available_resources().get("CPU")
    if free == 4.0:
        break
    time.sleep(0.05)
print("free", free)
"""


def test_a_driver_is_killed(pair):
    """What is detached stays; children of children, the actors, the group and the objects go."""
    process = pair.start(LEAVES)
    kept, mine = map(int, process.stdout.readline().split())
    assert until(lambda: len(running(pair)) == 6), "not all children run"
    process.kill()
    process.wait()
    assert until(lambda: not alive([mine])), "an actor outlives its job"
    assert until(lambda: not alive(running(pair))), "a child outlives its job"
    out = pair.run(LOOKS)
    assert out == f"free 3.5 {kept}\nfree 4.0\n"
    assert until(lambda: not alive([kept])), "a killed actor's process is left"
    assert until(lambda: not rings(pair.head) and not rings(pair.node)), "rings are left"


def test_a_worker_whose_code_disconnects_it(ray):
    """ray.shutdown() in the middle of a call: its caller hears of the end, whatever runs the call."""
    out = ray.run(
        """
    import ray

    ray.init(num_cpus=2)

    def outcome(ref):
        try:
            return ray.get(ref, timeout=20)
        except ray.exceptions.RayError as e:
            return type(e).__name__

    @ray.remote(max_retries=0)
    def task():
        ray.shutdown()

    @ray.remote(max_retries=0, num_returns="streaming")
    def stream():
        yield 1
        ray.shutdown()

    @ray.remote
    class Plain:
        def leave(self):
            ray.shutdown()

    @ray.remote(max_concurrency=2)
    class Threaded:
        def leave(self):
            ray.shutdown()

    @ray.remote
    class Async:
        async def leave(self):
            ray.shutdown()

        async def stream(self):
            yield 1
            ray.shutdown()
            yield 2

    print(outcome(task.remote()))
    print([outcome(ref) for ref in stream.remote()])
    for kind in (Plain, Threaded, Async):
        print(outcome(kind.remote().leave.remote()))
    print([outcome(ref) for ref in Async.remote().stream.options(num_returns="streaming").remote()])
    """
    )
    assert out == (
        "WorkerCrashedError\n[1, 'WorkerCrashedError']\nActorDiedError\nActorDiedError\n"
        "ActorDiedError\n[1, 'ActorDiedError']\n"
    )
