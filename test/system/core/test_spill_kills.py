# SPDX-License-Identifier: Apache-2.0
"""A raylet that is killed while it writes objects to disk, or reads them back: each get ends with the value or
with its error, and nothing of it is left in a store, in a folder or in a counter."""
import textwrap

import pytest
from core_session import processes_of, until

SCRIPT = """
import fcntl, gc, os, signal, time, urllib.request
import numpy, ray
from ray.cluster_utils import Cluster

DISK = os.path.join(os.getcwd(), "disk")
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
ray.init(address=cluster.address, log_to_driver=False)

def add():
    return cluster.add_node(num_cpus=2, resources={"there": 2}, object_store_memory=100 << 20,
                            object_spilling_directory=DISK)

def total(name):
    found = 0
    for node in ray.nodes():
        if node["Alive"]:
            url = f"http://127.0.0.1:{node['MetricsExportPort']}/metrics"
            text = urllib.request.urlopen(url, timeout=10).read().decode()
            found += sum(float(l.rsplit(" ", 1)[1]) for l in text.splitlines() if l.startswith(name))
    return found

def until(check):
    deadline = time.monotonic() + 60
    while not check() and time.monotonic() < deadline:
        time.sleep(0.02)
    return check()

@ray.remote(num_cpus=0, resources={"there": 1}, max_retries=-1)
def make(i):
    return numpy.full(8 << 20, i, dtype=numpy.uint8)

@ray.remote(num_cpus=0, resources={"there": 0.1}, max_restarts=0)
class Owner:
    def raylet(self):
        zygote = open(f"/proc/{os.getppid()}/stat").read()
        return int(zygote.rsplit(")", 1)[1].split()[1])

    def put(self, i):
        return [ray.put(numpy.full(8 << 20, i, dtype=numpy.uint8))]

    def read(self, refs):
        return [int(a[5]) for a in (ray.get(r) for r in refs)]

def spills(raylet, write):
    '''Is it in the midst of a file of spilled objects?'''
    for fd in os.listdir(f"/proc/{raylet}/fd"):
        try:
            path = os.readlink(f"/proc/{raylet}/fd/{fd}")
            if "/ray_spilled_objects_" in path and os.path.isfile(path):
                flags = next(l for l in open(f"/proc/{raylet}/fdinfo/{fd}") if l.startswith("flags"))
                if (int(flags.split()[1], 8) & os.O_ACCMODE == os.O_WRONLY) == write:
                    return True
        except OSError:
            pass
    return False

def kill_when(raylet, write, work):
    '''Stopped there first, to see that it is there indeed.'''
    while True:
        going = work()
        while ray.wait(going, num_returns=len(going), timeout=0)[1]:
            if spills(raylet, write):
                os.kill(raylet, signal.SIGSTOP)
                if spills(raylet, write):
                    os.kill(raylet, signal.SIGKILL)
                    return
                os.kill(raylet, signal.SIGCONT)

def ends(ref):
    try:
        return int(ray.get(ref, timeout=90)[5])
    except (ray.exceptions.OwnerDiedError, ray.exceptions.ActorDiedError) as e:
        return type(e).__name__

node = add()
owner = Owner.remote()
raylet = ray.get(owner.raylet.remote())
made = [make.remote(i) for i in range(16)]
ray.wait(made, num_returns=len(made), fetch_local=False)
"""

END = """
node = add()
values = [ends(ref) for ref in made]
print(values == list(range(len(values))))
print(sorted({ends(ref) for ref in owned}, key=str))
# Another node of that folder has removed what the killed one left, once it wrote there itself.
mine = [make.remote(i) for i in range(16)]
ray.wait(mine, num_returns=len(mine), fetch_local=False)
print(until(lambda: len(os.listdir(DISK)) == 1))
print([ends(ref) for ref in mine] == list(range(16)))
del made, mine, owned, owner
gc.collect()
for name in ("ray_object_store_used_memory", "ray_spilled_objects", "ray_owned_objects",
             "ray_borrowed_objects", "ray_tasks_pending", "ray_leases"):
    print(until(lambda: total(name) == 0))
print(until(lambda: not any(os.listdir(os.path.join(DISK, f)) for f in os.listdir(DISK))))
ray.shutdown()
cluster.shutdown()
"""

WORK = {
    "spill": """
extra = []
def more():
    extra.extend(make.remote(100) for _ in range(16))
    return extra[-16:]
owned = [ray.get(owner.put.remote(i))[0] for i in range(3)]
kill_when(raylet, True, more)
del extra
""",
    "restore": """
owned = [ray.get(owner.put.remote(i))[0] for i in range(3)]
kill_when(raylet, False, lambda: [owner.read.remote(made)])
""",
}


@pytest.mark.parametrize("when", list(WORK))
def test_a_raylet_killed_in_the_midst_of(ray, when):
    (ray.folder / "disk").mkdir()
    out = ray.run(textwrap.dedent(SCRIPT) + WORK[when] + END, timeout=240)
    assert out == "True\n['OwnerDiedError']\n" + "True\n" * 9
    assert until(lambda: not processes_of(ray.folder)), processes_of(ray.folder)
    assert not list((ray.folder / "disk").glob("ray_spilled_objects_*"))
