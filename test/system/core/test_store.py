# SPDX-License-Identifier: Apache-2.0
"""The store among processes: who keeps its room, and who gets it."""


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
