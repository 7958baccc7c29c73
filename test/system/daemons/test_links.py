# SPDX-License-Identifier: Apache-2.0
"""Connections between daemons that live on break at any moment: nothing is lost, nothing is done twice."""
import random
import socket
import time

import pytest

from cluster import Cluster, IP
from proxy import Proxy

SCRIPT = """
journal, stop = sys.argv[1:]
def write(what):
    fd = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{what}\\n".encode())
    os.close(fd)

@ray.remote(max_retries=0)
def task(number, data):
    write(f"task {number}")
    return number + len(data)

@ray.remote(num_cpus=0)
class Counter:
    def __init__(self, name): self.name, self.value = name, 0
    def add(self, data):
        self.value += 1
        write(f"{self.name} {self.value}")
        return self.value
    def nested(self): return sum(ray.get([task.remote(-1, b"") for _ in range(2)]))

counters = [Counter.options(resources={f"n{i}": 0.01}).remote(i) for i in (1, 2)]
large = ray.put(b"x" * 3_000_000)
done = rounds = 0
print("up", flush=True)
while done < 300 or not os.path.exists(stop):
    tasks = [task.options(resources={f"n{i % 2 + 1}": 0.01}, num_cpus=0.5).remote(
        done + i, large if i == 7 else b"x" * 100 * i) for i in range(20)]
    calls = [c.add.remote(b"y" * 2000) for c in counters for _ in range(10)]
    got = ray.get(tasks)
    assert got == [done + i + (3_000_000 if i == 7 else 100 * i) for i in range(20)], got
    done, rounds = done + 20, rounds + 1
    assert ray.get(calls) == [*range(10 * rounds - 9, 10 * rounds + 1)] * 2
    if rounds % 5 == 0:
        assert ray.get([c.nested.remote() for c in counters]) == [-2, -2]
print(done)
"""


class Gated(Cluster):
    """Raylets reach gcs through a proxy each."""
    rates = {}  # bytes a second, by node

    def __init__(self, folder):
        self.proxies = []
        super().__init__(folder)

    def gcs_for(self, number):
        host, port = self.gcs.facts["address"].rsplit(":", 1)
        gate = Proxy((IP, 0), (host, int(port)), self.rates.get(number))
        self.proxies.append(gate)
        address = "%s:%d" % gate.address
        if number == 0:
            self.address = address  # drivers are the head's
        return address

    def stop(self):
        super().stop()
        for proxy in self.proxies:
            proxy.close()


class Relayed(Gated):
    """Raylets can't dial each other; a line to gcs is slow."""
    rates = {1: 130_000}

    def add_node(self, cpus=2, *words, **resources):
        listen = f"127.0.78.{len(self.nodes) + 1}:0"
        return super().add_node(cpus, "--listen", listen, *words, **resources)


@pytest.fixture
def relayed(tmp_path_factory):
    it = Relayed(tmp_path_factory.mktemp("r"))
    it.add_node(2, far=1)
    yield it
    it.stop()


class Proxied(Gated):
    """All that raylets dial, gcs and each other, goes through proxies."""

    def add_node(self, cpus=2, *words, **resources):
        with socket.create_server((IP, 0)) as taken:
            port = taken.getsockname()[1]
        behind = f"127.0.77.{len(self.nodes) + 1}"
        node = super().add_node(cpus, "--listen", f"{behind}:{port}", *words, **resources)
        self.proxies.append(Proxy((IP, port), (behind, port)))
        return node


@pytest.fixture
def cluster(tmp_path_factory):
    it = Proxied(tmp_path_factory.mktemp("c"))
    it.add_node(2, n1=1)
    it.add_node(2, n2=1)
    yield it
    it.stop()


def check(cluster, driver, journal):
    out, _ = driver.communicate(timeout=100)
    assert driver.returncode == 0, out
    wrote = [line for line in journal.read_text().splitlines() if line != "task -1"]
    done = int(out.split()[-1])
    assert sorted(line for line in wrote if line.startswith("task")) == sorted(
        f"task {i}" for i in range(done))
    for counter in ("1 ", "2 "):
        values = [int(line[2:]) for line in wrote if line.startswith(counter)]
        assert values == list(range(1, len(values) + 1)) and len(values) == done // 2
    for node in cluster.nodes:
        assert node.process.poll() is None


def break_some(cluster, choice, how, count, pause):
    broken = 0
    end = time.monotonic() + 60
    while broken < count and time.monotonic() < end:
        time.sleep(choice.uniform(0, pause))
        broken += getattr(choice.choice(cluster.proxies), how)(choice)
    return broken


@pytest.mark.parametrize("how, count, pause", [("cut", 80, 0.15), ("silence", 6, 2)])
def test_connections_break(cluster, how, count, pause):
    journal, stop = cluster.folder / "journal", cluster.folder / "stop"
    choice = random.Random(7)
    driver = cluster.driver(SCRIPT, str(journal), str(stop))
    assert driver.stdout.readline() == "up\n"
    broken = break_some(cluster, choice, how, count, pause)
    stop.touch()
    check(cluster, driver, journal)
    assert broken == count


def test_a_node_that_gcs_does_not_hear_is_dead(cluster):
    driver = cluster.driver("""
@ray.remote(num_cpus=0)
class Echo:
    def echo(self, value): return value
there = Echo.options(resources={"n1": 0.01}).remote()
print(ray.get(there.echo.remote("up")), flush=True)
try:
    while True:
        ray.get([there.echo.remote(1) for _ in range(10)])
except ray.exceptions.ActorDiedError:
    print("dead")
ready, _ = ray.wait([Echo.options(resources={"n1": 0.01}).remote().echo.remote(1)], timeout=0.1)
print(len(ready))
print(ray.get(Echo.options(resources={"n2": 0.01}).remote().echo.remote("alive")))
""")
    assert driver.stdout.readline() == "up\n"
    for proxy in cluster.proxies[2:4]:  # to gcs, and to the node
        proxy.darken()
    out, _ = driver.communicate(timeout=60)
    assert out.split() == ["dead", "0", "alive"], out


def test_what_takes_long_through_gcs_is_sent_once(relayed):
    """1 MB at 130 kB a second is longer on its way than a link waits for what does not move."""
    out = relayed.run("""
@ray.remote(resources={"far": 0.1})
class Far:
    def size(self, data): return len(data)
    def make(self, size): return b"x" * size
far = Far.remote()
print(ray.get(far.size.remote(b"")))
print(ray.get(far.size.remote(b"x" * 1_000_000)))
print(len(ray.get(far.make.remote(1_000_000))))
""")
    assert out.split() == ["0", "1000000", "1000000"]
    assert all("nothing moves" not in node.text() for node in relayed.nodes)
