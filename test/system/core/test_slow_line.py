# SPDX-License-Identifier: Apache-2.0
"""Two nodes in network namespaces with a slow and lossy line between them."""
import os
import pathlib
import subprocess
import sys

import pytest

DELAY, LOSS, RATE = "0.1", "0.02", "5e6"  # one way, and bits a second

SCRIPT = """
import numpy, ray
ray.init(address="10.77.0.1:6379")
far = {"resources": {"far": 1}, "num_cpus": 0}

@ray.remote(**far)
def total(x):
    return int(x.sum())

@ray.remote(**far)
def ones(size):
    return numpy.ones(size, dtype=numpy.uint8)

@ray.remote(**far)
class Counter:
    def __init__(self):
        self.value = 0

    def add(self):
        self.value += 1
        return self.value

counter = Counter.remote()
print(ray.get([counter.add.remote() for _ in range(200)]) == list(range(1, 201)))
there, back = total.remote(numpy.ones(3_000_000, dtype=numpy.uint8)), ones.remote(3_000_000)
while ray.wait([back], timeout=0.5)[1]:
    assert ray.get(counter.add.remote()) > 200  # calls go on beside what is large
print(ray.get(there), int(ray.get(back).sum()))
print([node["Alive"] for node in ray.nodes()])
"""


def sudo(*words):
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def ends():
    """Two namespaces, 10.77.0.1 and 10.77.0.2, and the line between them."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        pytest.skip("network namespaces with a line between them need root and /dev/net/tun here")
    names = [f"slow-{os.getpid()}-{i}" for i in (1, 2)]
    line = None
    try:
        for name in names:
            sudo("ip", "netns", "add", name)
        line = subprocess.Popen([sys.executable, pathlib.Path(__file__).parent / "slow_line.py",
                                 *names, DELAY, LOSS, RATE], stdout=subprocess.PIPE, text=True)
        assert line.stdout.readline() == "ready\n"
        for name, own, other in zip(names, ("10.77.0.1", "10.77.0.2"), ("10.77.0.2", "10.77.0.1")):
            sudo("ip", "-n", name, "link", "set", "lo", "up")
            sudo("ip", "-n", name, "addr", "add", own, "peer", other, "dev", "line")
            sudo("ip", "-n", name, "link", "set", "line", "up", "mtu", "1400")
        yield names
    finally:
        if line:
            line.kill()
            line.wait()
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def within(ray, namespace, *words, **more):
    return subprocess.run(["ip", "netns", "exec", namespace, *words], text=True, cwd=ray.folder,
                          env={**ray.environment, **more}, timeout=120, capture_output=True)


def test_a_slow_line_loses_no_node_and_no_object(ray, ends):
    one, other = ends
    head = within(ray, one, "ray", "start", "--head", "--node-ip-address=10.77.0.1", "--port=6379",
                  "--num-cpus=1", "--object-store-memory=100000000")
    assert head.returncode == 0, head.stdout + head.stderr
    node = within(ray, other, "ray", "start", "--address=10.77.0.1:6379", "--num-cpus=1",
                  "--node-ip-address=10.77.0.2", '--resources={"far": 4}',
                  "--object-store-memory=100000000", f"--temp-dir={ray.folder}/other")
    assert node.returncode == 0, node.stdout + node.stderr
    done = within(ray, one, sys.executable, "-c", SCRIPT)
    assert done.stdout == "True\n3000000 3000000\n[True, True]\n", done.stderr + ray.logs()
