# SPDX-License-Identifier: Apache-2.0
"""The store when its disk is full, all of it is read, or something dies or stands still: each get ends, and
nothing is left in it."""
import os
import subprocess
import textwrap

import pytest

# What the scripts below share: how much a node's store holds, by its metrics.
COMMON = """
import gc, os, signal, time, urllib.request
import numpy, ray

def used(node=0, name="ray_object_store_used_memory"):
    port = ray.nodes()[node]["MetricsExportPort"]
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    return sum(float(l.rsplit(" ", 1)[1]) for l in text.splitlines() if l.startswith(name))

def until(check):
    deadline = time.monotonic() + 40
    while not check() and time.monotonic() < deadline:
        time.sleep(0.02)
    return check()

def array(mb, value=1):
    return numpy.full(mb << 20, value, dtype=numpy.uint8)
"""


def run(ray, script, **extra):
    return ray.run(COMMON + textwrap.dedent(script), timeout=120, **extra)


def test_a_full_disk(ray):
    """Spilling ends with the disk: whoever puts more is told so, and nothing that was put is lost."""
    unshare = ["unshare", "-m" if os.geteuid() == 0 else "-Urm"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces are not permitted here")
    folder = ray.folder / "disk"
    folder.mkdir()
    ray.prefix = [*unshare, "sh", "-c",
                  f'mount -t tmpfs -o size=48m none {folder} && exec "$@"', "sh"]
    out = run(
        ray,
        """
        ray.init(num_cpus=1, object_store_memory=100 << 20, object_spilling_directory=SPILL)
        refs, full = [], None
        while full is None and len(refs) < 60:
            try:
                refs.append(ray.put(array(8, len(refs))))
            except ray.exceptions.ObjectStoreFullError as e:
                full = e
        print(10 <= len(refs) < 25, type(full).__name__)
        held = len(refs)

        def read(i):
            try:
                return int(ray.get(refs[i])[7])
            except ray.exceptions.ObjectStoreFullError:
                return None  # it is on disk, and there is no room to bring it back

        print({read(i) in (i, None) for i in range(held)})
        del refs[-4:], full
        gc.collect()
        print(all(read(i) == i for i in range(held - 4)))

        @ray.remote(max_retries=0)
        def large():
            return array(60)

        try:
            ray.get(large.remote())
        except ray.exceptions.RayError as e:
            print("no room for a result either")
        del refs
        gc.collect()
        print(until(lambda: used() == 0), len(os.listdir(SPILL)) <= 1)
        print(int(ray.get(large.remote()).sum()) == 60 << 20)
        """.replace("SPILL", repr(str(folder))),
    )
    assert out == "True ObjectStoreFullError\n{True}\nTrue\nno room for a result either\nTrue True\nTrue\n"


def test_a_store_full_of_what_is_read(ray):
    """What is read can't go: more finds room on disk, and all of it goes when nobody reads it."""
    out = run(
        ray,
        """
        ray.init(num_cpus=1, object_store_memory=100 << 20)
        kept = [ray.get(ray.put(array(20, i))) for i in range(10)]
        print([int(a[-1]) for a in kept])
        del kept
        gc.collect()
        print(until(lambda: used() == 0))
        """,
    )
    assert out == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\nTrue\n"


def test_a_worker_dies_while_it_writes(ray):
    """Between the making of an object and its end: the memory is free again, and the call is retried."""
    out = run(
        ray,
        """
        import threading
        ray.init(num_cpus=1, object_store_memory=400 << 20)

        @ray.remote
        class Once:
            def __init__(self):
                self.times = 0

            def first(self):
                self.times += 1
                return self.times == 1

        @ray.remote(max_retries=3)
        def large(once):
            a = array(300)
            if ray.get(once.first.remote()):
                threading.Timer(0.004, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return a

        for _ in range(5):
            once = Once.options(num_cpus=0).remote()
            a = ray.get(large.remote(once))
            print(int(a[0]), a.nbytes >> 20)
            del a
        gc.collect()
        print(until(lambda: used() == 0))
        """,
    )
    assert out == "1 300\n" * 5 + "True\n"


CLUSTER = """
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
nodes = [cluster.add_node(num_cpus=1, resources={f"n{i}": 1}) for i in range(COUNT)]
ray.init(address=cluster.address, log_to_driver=False)

@ray.remote(num_cpus=0, max_restarts=0)
class At:
    def raylet(self):
        zygote = open(f"/proc/{os.getppid()}/stat").read()
        return int(zygote.rsplit(")", 1)[1].split()[1])

    def make(self, mb):
        return array(mb)

    def read(self, refs):
        return int(ray.get(refs[0]).sum()) >> 20

at = [At.options(resources={f"n{i}": 0.1}).remote() for i in range(COUNT)]
raylets = ray.get([a.raylet.remote() for a in at])
"""


def test_a_source_dies_while_it_sends(ray):
    """The node that has a value is killed while others bring it: each get ends, with the value or the error
    that says that it is lost."""
    out = run(
        ray,
        CLUSTER.replace("COUNT", "3")
        + """
ref = at[0].make.remote(200)
ray.wait([ref], fetch_local=False)
reads = [a.read.remote([ref]) for a in at[1:]]
time.sleep(0.05)  # in the midst of it, or before, or after: all are fine
os.kill(raylets[0], signal.SIGKILL)
for read in reads:
    try:
        print(ray.get(read, timeout=60) == 200)
    except (ray.exceptions.ObjectLostError, ray.exceptions.RayTaskError) as e:
        print(isinstance(e, ray.exceptions.ObjectLostError))
again = ray.put(array(64))
print(ray.get([a.read.remote([again]) for a in at[1:]]))
del ref, reads, read, again
gc.collect()
alive = [i for i, n in enumerate(ray.nodes()) if n["Alive"]]
print(until(lambda: all(used(i) == 0 for i in alive)))
""",
    )
    assert out == "True\nTrue\n[64, 64]\nTrue\n"


def test_a_slow_reader_stalls_nobody(ray):
    """A node that stands still while it brings values costs its source little, and others go on."""
    out = run(
        ray,
        CLUSTER.replace("COUNT", "2")
        + """
def rss(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * 4096 - int(
        open(f"/proc/{pid}/statm").read().split()[2]) * 4096

refs = [at[0].make.remote(32) for _ in range(12)]
ray.wait(refs, num_returns=12, fetch_local=False)
before = rss(raylets[0])
slow = [at[1].read.remote([r]) for r in refs]
ray.wait(slow, num_returns=1)
os.kill(raylets[1], signal.SIGSTOP)
start = time.monotonic()
print([int(ray.get(r)[0]) for r in refs] == [1] * 12, time.monotonic() - start < 20)
print(rss(raylets[0]) - before < 64 << 20)
os.kill(raylets[1], signal.SIGCONT)
print(ray.get(slow) == [32] * 12)
del refs, slow
gc.collect()
print(until(lambda: all(used(i) == 0 for i in range(3))))
""",
    )
    assert out == "True True\nTrue\nTrue\nTrue\n"
