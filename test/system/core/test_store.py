# SPDX-License-Identifier: Apache-2.0
"""The store among processes: who keeps its room, and who gets it."""
import subprocess
import sys
import textwrap

import pytest


def test_room_that_a_process_keeps_is_for_all(ray):
    """A worker's freed slabs stay mapped in it; another's value that needs the room gets it."""
    out = ray.run(
        """
        import numpy, ray
        ray.init(num_cpus=2, object_store_memory=256 << 20)

        @ray.remote
        class Writer:
            def put(self, mb, times):
                for i in range(times):
                    value = ray.put(numpy.full(mb << 20, i, dtype=numpy.uint8))
                return int(ray.get(value)[-1])

        a, b = Writer.remote(), Writer.remote()
        print(ray.get(a.put.remote(100, 4)), ray.get(b.put.remote(200, 3)))
        print(ray.get([a.put.remote(40, 6), b.put.remote(30, 7), a.put.remote(2, 30)]))
        x = ray.put(numpy.ones(220 << 20, dtype=numpy.uint8))
        print(int(ray.get(x).sum()) == 220 << 20)
        """
    )
    assert out == "3 2\n[5, 6, 29]\nTrue\n"


def test_values_larger_than_shared_memory(ray):
    """A /dev/shm that is as small as containers' are by default makes the store small, no more: what
    it has no room for lies on the disk."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces are not permitted here")
    script = textwrap.dedent("""
        import numpy, ray
        ray.init(num_cpus=1)
        print(int(ray.cluster_resources()["object_store_memory"]) >> 20)

        @ray.remote
        def total(x):
            return int(x[0]), len(x)

        @ray.remote
        def make(i):
            return numpy.full(30 << 20, i, dtype=numpy.uint8)

        put = [ray.put(numpy.full(30 << 20, i, dtype=numpy.uint8)) for i in range(6)]
        made = [make.remote(i) for i in range(6)]
        print(ray.get([total.remote(x) for x in put + made]) == 2 * [(i, 30 << 20) for i in range(6)])
        print([int(x[-1]) for x in ray.get(put + made)])
        """)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=16m tmpfs /dev/shm && exec \"$@\"",
         "sh", sys.executable, "-c", script],
        env=ray.environment, cwd=ray.folder, text=True, capture_output=True, timeout=100)
    assert done.stdout == "75\nTrue\n[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]\n", done.stderr


def test_a_full_disk_is_told(ray):
    """Neither the store nor the disk has room: an exception, and the session lives on."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces are not permitted here")
    script = textwrap.dedent("""
        import numpy, ray
        ray.init(num_cpus=1, object_store_memory=80_000_000, _temp_dir="disk/t")
        kept = []
        try:
            for i in range(9):
                kept.append(ray.put(numpy.full(30_000_000, i, dtype=numpy.uint8)))
        except ray.exceptions.ObjectStoreFullError as error:
            print("no room for 30000" in str(error))
        print(len(kept) >= 2, int(ray.get(kept[-1])[7]) == len(kept) - 1)
        kept.clear()
        print(int(ray.get(ray.put(numpy.ones(30_000_000, dtype=numpy.uint8))).sum()))
        """)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", "mkdir disk && mount -t tmpfs -o size=40m tmpfs disk && "
         "exec \"$@\"", "sh", sys.executable, "-c", script.replace("disk/t", f"{ray.folder}/disk/t")],
        env=ray.environment, cwd=ray.folder, text=True, capture_output=True, timeout=100)
    assert done.stdout == "True\nTrue True\n30000000\n", done.stdout + done.stderr
