# SPDX-License-Identifier: Apache-2.0
"""One process's share of the microbenchmark: runs the named rows on whichever `ray` it imports and
prints one JSON object {row: rate, row + ".where": where the time went}. Rates are calls a second unless
the row's unit says otherwise."""
import json
import os
import sys
import time

import where

SECONDS = float(os.environ.get("BENCH_SECONDS", "1.5"))
spent = {}  # of the last row: {"us": wall of one operation, role: [user, kernel]}


def rate(step, count=1):
    """Runs `step` (which does `count` operations) for SECONDS after a warm-up; operations a second."""
    end = time.perf_counter() + SECONDS / 3
    while time.perf_counter() < end:
        step()
    before, done, start = where.now(), 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        step()
        done += count
    seconds = time.perf_counter() - start
    spent.clear()
    spent.update(us=seconds / done * 1e6, **where.between(before, where.now(), done))
    return done / seconds


def rows(ray):
    @ray.remote
    def small():
        return b"ok"

    @ray.remote
    def batch(n):
        ray.get([small.remote() for _ in range(n)])
        return 0

    @ray.remote(num_cpus=0)
    class Actor:
        def small(self):
            return b"ok"

        def arg(self, x):
            return b"ok"

        def batch(self, n):
            ray.get([small.remote() for _ in range(n)])

        def put(self, n, data):
            for _ in range(n):
                ray.put(data)

    @ray.remote(num_cpus=0)
    class Async:
        async def small(self):
            return b"ok"

        async def arg(self, x):
            return b"ok"

    @ray.remote(num_cpus=0)
    class Client:
        def __init__(self, servers):
            self.servers = servers

        def batch(self, n):
            refs = []
            for server in self.servers:
                refs += [server.small.remote() for _ in range(n)]
            ray.get(refs)

        def batch_arg(self, n):
            x = ray.put(0)
            refs = []
            for server in self.servers:
                refs += [server.arg.remote(x) for _ in range(n)]
            ray.get(refs)

    def tasks_sync():
        return rate(lambda: ray.get(small.remote()))

    def tasks_async():
        return rate(lambda: ray.get([small.remote() for _ in range(1000)]), 1000)

    def tasks_multi():
        actors = [Actor.remote() for _ in range(2)]
        return rate(lambda: ray.get([a.batch.remote(500) for a in actors]), 1000)

    def tasks_batch():
        return rate(lambda: ray.get(batch.options(num_cpus=0).remote(1000)))

    def actor_sync():
        a = Actor.remote()
        return rate(lambda: ray.get(a.small.remote()))

    def actor_async():
        a = Actor.remote()
        return rate(lambda: ray.get([a.small.remote() for _ in range(1000)]), 1000)

    def actor_concurrent():
        a = Actor.options(max_concurrency=16).remote()
        return rate(lambda: ray.get([a.small.remote() for _ in range(1000)]), 1000)

    def actors_1_n():
        servers = [Actor.remote() for _ in range(2)]
        client = Client.remote(servers)
        return rate(lambda: ray.get(client.batch.remote(500)), 1000)

    def actors_n_n():
        servers = [Actor.remote() for _ in range(2)]
        clients = [Client.remote(servers) for _ in range(2)]
        return rate(lambda: ray.get([c.batch.remote(250) for c in clients]), 1000)

    def actors_n_n_arg():
        servers = [Actor.remote() for _ in range(2)]
        clients = [Client.remote([s]) for s in servers]
        return rate(lambda: ray.get([c.batch_arg.remote(250) for c in clients]), 500)

    def async_sync():
        a = Async.remote()
        return rate(lambda: ray.get(a.small.remote()))

    def async_async():
        a = Async.remote()
        return rate(lambda: ray.get([a.small.remote() for _ in range(1000)]), 1000)

    def async_arg():
        a = Async.remote()
        return rate(lambda: ray.get([a.arg.remote(i) for i in range(1000)]), 1000)

    def async_n_n():
        servers = [Async.remote() for _ in range(2)]
        clients = [Client.remote(servers) for _ in range(2)]
        return rate(lambda: ray.get([c.batch.remote(250) for c in clients]), 1000)

    def get_calls():
        ref = ray.put(0)
        return rate(lambda: ray.get(ref))

    def put_calls():
        return rate(lambda: ray.put(0))

    def put_of(count):
        import numpy
        data = numpy.zeros(count, dtype=numpy.int64)
        return rate(lambda: ray.put(data)) * data.nbytes / 1e9

    def put_gigabytes():
        return put_of(100 * 1024 * 1024)

    def put_64mb():
        return put_of(8 * 1024 * 1024)

    def put_multi_gigabytes():
        @ray.remote
        def put():
            import numpy
            for _ in range(10):
                ray.put(numpy.zeros(10 * 1024 * 1024, dtype=numpy.int64))

        return rate(lambda: ray.get([put.remote() for _ in range(10)])) * 100 * 80 * 1024 * 1024 / 1e9

    def memcpy_of(count, fresh=False):
        import numpy
        data = numpy.zeros(count, dtype=numpy.int64)
        to = numpy.zeros_like(data)
        return rate(data.copy if fresh else lambda: numpy.copyto(to, data)) * data.nbytes / 1e9

    def memcpy_gigabytes():
        return memcpy_of(100 * 1024 * 1024)

    def memcpy_64mb():
        return memcpy_of(8 * 1024 * 1024)

    def memcpy_fresh():
        return memcpy_of(100 * 1024 * 1024, fresh=True)

    def get_10k_refs():
        refs = ray.put([ray.put(1) for _ in range(10000)])
        return rate(lambda: ray.get(refs))

    def wait_1k():
        def step():
            left = [small.remote() for _ in range(1000)]
            while left:
                _, left = ray.wait(left)
        return rate(step)

    def placement_groups():
        from ray.util.placement_group import placement_group, remove_placement_group

        def step():
            group = placement_group([{"CPU": 0.001}])
            group.wait(30)
            remove_placement_group(group)
        return rate(step)

    return {k: v for k, v in locals().items() if callable(v) and v.__class__.__name__ == "function"}


def main():
    import ray
    wanted = sys.argv[1:]
    options = {"num_cpus": 2, "logging_level": "error", "log_to_driver": False}
    ray.init(**options)
    table = rows(ray)
    result = {}
    for name in wanted:
        try:
            result[name] = table[name]()
            result[name + ".where"] = dict(spent)
        except Exception as error:  # a row that this ray lacks is reported, not hidden
            result[name] = None
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    print(json.dumps(result))
    sys.stdout.flush()
    ray.shutdown()


if __name__ == "__main__":
    main()
