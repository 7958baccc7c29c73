# SPDX-License-Identifier: Apache-2.0
"""Who sends faster than another node takes has to wait: what lies between them is bounded."""
import os
import signal
import subprocess
import sys

import pytest
from core_session import until
from test_nodes import free_port

CALLS, PARTS, PART = 60, 90, 90_000  # half a gigabyte; a part is small enough to travel in its call
CROWDED = 256 << 20  # what the node's raylet keeps for another (RAYLET_CROWDED)

SCRIPT = f"""
import sys
import ray
ray.init()

@ray.remote(num_cpus=0, resources={{"far": 1}})
class Sink:
    def take(self, *parts):
        return sum(len(part) for part in parts)

sink = Sink.remote()
print(ray.get(sink.take.remote()), flush=True)
sys.stdin.readline()  # the other node takes nothing from here on
parts = [bytes({PART})] * {PARTS}
refs = [sink.take.remote(*parts) for _ in range({CALLS})]
print("sent", flush=True)
print(set(ray.get(refs)))
"""


@pytest.fixture
def two_nodes(ray):
    """The raylets of two nodes, by pid: near, where drivers are, and far."""
    common = ["--num-cpus=1", f"--temp-dir={ray.folder}/ray"]
    head = ray.command("start", "--head", f"--port={free_port()}", "--include-dashboard=false",
                       f"--dashboard-agent-listen-port={free_port()}", *common)
    assert head.returncode == 0, head.stdout
    address = (ray.folder / "ray/ray_current_cluster").read_text().strip()
    node = ray.command("start", f"--address={address}", '--resources={"far": 1}',
                       f"--dashboard-agent-listen-port={free_port()}", *common)
    assert node.returncode == 0, node.stdout
    raylets = {pid: line for pid, line in ray.processes().items()
               if line.startswith("mobula raylet ")}
    near = [pid for pid, line in raylets.items() if "--head" in line.split()]
    far = [pid for pid in raylets if pid not in near]
    assert len(near) == len(far) == 1, raylets
    return near[0], far[0]


def memory_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return sum(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon:"))


def test_a_node_that_takes_nothing_holds_its_callers_back(ray, two_nodes):
    near, far = two_nodes
    driver = subprocess.Popen([sys.executable, "-c", SCRIPT], env=ray.environment, cwd=ray.folder,
                              text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert driver.stdout.readline() == "0\n", ray.logs()
        idle = memory_of(near)
        os.kill(far, signal.SIGSTOP)
        driver.stdin.write("\n")
        driver.stdin.flush()
        assert driver.stdout.readline() == "sent\n"
        assert until(lambda: memory_of(near) - idle > CROWDED * 3 // 4)
        assert not until(lambda: memory_of(near) - idle > CROWDED * 4 // 3, seconds=1)
        os.kill(far, signal.SIGCONT)
        out, _ = driver.communicate(timeout=60)
        assert out == f"{{{PARTS * PART}}}\n", ray.logs()
        assert until(lambda: memory_of(near) - idle < CROWDED // 4)
    finally:
        os.kill(far, signal.SIGCONT)
        driver.kill()
        driver.wait()
