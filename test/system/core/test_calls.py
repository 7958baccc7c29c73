# SPDX-License-Identifier: Apache-2.0
"""Streams, cancellation and retries where the peer is no judge: it crashes, hangs or can't be asked."""

COUNTS = """
    import time

    def settled():
        from ray import _mobula

        deadline = time.monotonic() + 10
        names = ("refs_owned", "refs_borrowed", "tasks_pending", "values_bytes")
        while any(_mobula.counts()[n] for n in names) and time.monotonic() < deadline:
            time.sleep(0.02)
        return {n: _mobula.counts()[n] for n in names}
"""


def test_cancel_of_a_task_that_waits(ray):
    out = ray.run("""
        import ray, time
        ray.init(num_cpus=2)

        @ray.remote
        class Gate:
            def began(self):
                self.open = True

            def is_open(self):
                return getattr(self, "open", False)

        @ray.remote
        def never():
            time.sleep(60)

        @ray.remote
        def waits(gate, refs):
            ray.get(gate.began.remote())
            return ray.get(refs[0])

        gate = Gate.remote()
        blocker = never.remote()
        ref = waits.remote(gate, [blocker])
        while not ray.get(gate.is_open.remote()):
            time.sleep(0.01)
        start = time.monotonic()
        for each in (ref, blocker):
            ray.cancel(each)
            try:
                ray.get(each)
            except ray.exceptions.TaskCancelledError:
                print("cancelled")
        print(time.monotonic() - start < 10)
    """)
    assert out == "cancelled\ncancelled\nTrue\n"


def test_late_cancel_hits_no_other_task(ray):
    out = ray.run("""
        import ray
        ray.init(num_cpus=1)

        @ray.remote
        def short(i):
            return i

        cancelled = 0
        for i in range(300):
            refs = [short.remote(i) for _ in range(4)]
            ray.cancel(refs[i % 4])
            for k, ref in enumerate(refs):
                try:
                    assert ray.get(ref) == i
                except ray.exceptions.TaskCancelledError:
                    assert k == i % 4
                    cancelled += 1
        print(cancelled <= 300)
    """)
    assert out == "True\n"


def test_streams_leave_nothing(ray):
    out = ray.run(COUNTS + """
    import ray
    ray.init(num_cpus=2)

    @ray.remote
    def numbers(n, size):
        for i in range(n):
            yield bytes(size)

    @ray.remote(_generator_backpressure_num_objects=2)
    def held_up(n):
        yield from range(n)

    calls = ((numbers, (50, 10)), (numbers, (5, 300_000)), (held_up, (50,)))
    for function, args in calls:
        gen = function.remote(*args)
        next(gen)  # and the rest is not read
        whole = gen.completed()
        del gen
        ray.get(whole)
    for function, args in calls:
        for ref in function.remote(*args):
            ray.get(ref)
    del ref, whole
    print(settled())
    """)
    assert out == str(dict.fromkeys(
        ("refs_owned", "refs_borrowed", "tasks_pending", "values_bytes"), 0)) + "\n"


def test_cancel_of_a_call_that_waits_for_its_turn(ray):
    out = ray.run("""
        import asyncio, ray
        ray.init(num_cpus=2)

        @ray.remote(max_concurrency=1)
        class A:
            async def slow(self):
                await asyncio.sleep(60)

            async def m(self):
                return "m"

        @ray.remote(max_concurrency=2)
        class T:
            def __init__(self):
                import threading
                self.event = threading.Event()

            def waits(self):
                return self.event.wait(60)

            def m(self):
                return "m"

        a = A.remote()
        slow, waiting = a.slow.remote(), a.m.remote()
        for ref in (waiting, slow):
            ray.cancel(ref)
            try:
                ray.get(ref)
            except ray.exceptions.TaskCancelledError:
                print("cancelled")
        print(ray.get(a.m.remote()))
        t = T.remote()
        busy = [t.waits.remote(), t.waits.remote()]
        queued = t.m.remote()
        ray.cancel(queued)
        try:
            ray.get(queued)
        except ray.exceptions.TaskCancelledError:
            print("cancelled")
    """)
    assert out == "cancelled\ncancelled\nm\ncancelled\n"


def test_cancel_of_a_call_that_comes_with_it_to_a_busy_loop(ray):
    out = ray.run("""
        import threading, time, ray
        ray.init(num_cpus=2)

        @ray.remote(concurrency_groups={"other": 1})
        class A:
            def __init__(self):
                self.ran, self.blocked = 0, threading.Event()

            async def blocks(self):
                self.blocked.set()
                time.sleep(1)

            @ray.method(concurrency_group="other")
            async def is_blocked(self):
                return self.blocked.wait(15)

            async def m(self):
                self.ran += 1

            async def began(self):
                return self.ran

        a = A.remote()
        print(ray.get(a.began.remote()))
        blocks = a.blocks.remote()
        print(ray.get(a.is_blocked.remote()))
        calls = [a.m.remote() for _ in range(3)]
        ray.get(a.is_blocked.remote())  # the process has them all by now
        for ref in calls:
            ray.cancel(ref)
        for ref in calls:
            try:
                ray.get(ref, timeout=15)
            except ray.exceptions.TaskCancelledError:
                print("cancelled")
        ray.get(blocks)
        print(ray.get(a.began.remote()))
    """)
    assert out == "0\nTrue\n" + 3 * "cancelled\n" + "0\n"


def test_actors_that_exit_while_they_are_made(ray):
    out = ray.run("""
        import sys, ray
        ray.init(num_cpus=2)

        class A:
            def __init__(self, leave):
                leave()

            async def m(self):
                return "m"

        class S(A):
            def m(self):
                return "m"

        def ends():
            sys.exit(3)

        for cls in (A, S):
            for leave in (ends, ray.actor.exit_actor):
                a = ray.remote(cls).remote(leave)
                try:
                    ray.get(a.m.remote(), timeout=30)
                except ray.exceptions.ActorDiedError as e:
                    print("exit_actor()" in str(e))
    """)
    assert out == 2 * "False\nTrue\n"


def test_a_call_of_an_unknown_group_is_an_error(ray):
    out = ray.run("""
        import ray
        ray.init(num_cpus=2)

        @ray.remote(concurrency_groups={"io": 1})
        class A:
            def m(self):
                return 1

        a = A.remote()
        try:
            ray.get(a.m.options(concurrency_group="absent").remote())
        except ValueError as e:
            print(str(e).splitlines()[-1])
        print(ray.get(a.m.remote()))
    """)
    assert out == "ValueError: The actor has no concurrency group 'absent'.\n1\n"


def test_what_threads_put_has_ids_of_its_own(ray):
    out = ray.run(
        """
        import threading
        import ray

        ray.init(num_cpus=2)

        @ray.remote
        class Loop:
            async def put(self, refs):  # it runs beside the main thread, which has no task
                mine = [ray.put(i) for i in range(20)]
                return ray.get(mine) == list(range(20)), {r.hex() for r in mine}

        @ray.remote
        class Threads:
            def put(self, refs):
                made = []
                thread = threading.Thread(target=lambda: made.extend(ray.put(i) for i in range(20)))
                thread.start()
                thread.join()
                return ray.get(made) == list(range(20)), {r.hex() for r in made}

        refs = [ray.put("driver") for _ in range(20)]
        seen = {r.hex() for r in refs}
        for actor in (Loop.remote(), Loop.remote(), Threads.options(max_concurrency=2).remote()):
            right, ids = ray.get(actor.put.remote(refs))
            print(right, len(ids), len(ids & seen))
            seen |= ids
        """
    )
    assert out == "True 20 0\n" * 3


def test_shutdown_hook_of_an_actor(ray):
    out = ray.run("""
        import os, ray, tempfile, time
        ray.init(num_cpus=2)
        path = os.path.join(tempfile.mkdtemp(), "left")

        @ray.remote
        class A:
            def m(self):
                return 1

            def __ray_shutdown__(self):
                open(path, "w").close()

        a = A.remote()
        ray.get(a.m.remote())
        del a
        deadline = time.monotonic() + 10
        while not os.path.exists(path) and time.monotonic() < deadline:
            time.sleep(0.02)
        print(os.path.exists(path))
    """)
    assert out == "True\n"


LATE = """
    import sys
    import threading
    import time
    import ray
    ray.init(num_cpus=1)

    def seen():
        return sys.__dict__.setdefault("seen", [])  # the worker's: copies of functions share it

    class Loud:
        def __init__(self, number):
            self.number = number

        def __reduce__(self):
            return unpickled, (self.number,)

    def unpickled(number):
        seen().append(("unpickled", number))
        return Loud(number)
"""


def test_arguments_are_unpickled_by_the_call_that_they_are_for(ray):
    """Not when a batch of calls is taken: not before those that run ahead of it."""
    out = ray.run(
        LATE
        + """
    @ray.remote
    class Async:
        async def hold(self):
            time.sleep(0.3)  # the loop: what comes meanwhile is taken at once

        async def take(self, loud):
            seen().append(("runs", loud.number))

        async def seen(self):
            return seen()

    a = Async.remote()
    ray.get(a.seen.remote())
    calls = [a.hold.remote(), *[a.take.remote(Loud(i)) for i in range(5)]]
    ray.get(calls)
    print(ray.get(a.seen.remote()) == [(what, i) for i in range(5) for what in ("unpickled", "runs")])
    """
    )
    assert out == "True\n"


def test_arguments_wait_for_a_thread_with_their_call(ray):
    out = ray.run(
        LATE
        + """
    @ray.remote(concurrency_groups={"watch": 1})
    class Threaded:
        def __init__(self):
            self.gate = threading.Event()

        def take(self, loud):
            self.gate.wait(20)
            return loud.number

        @ray.method(concurrency_group="watch")
        def begun(self):
            return sorted(seen())

        @ray.method(concurrency_group="watch")
        def open(self):
            self.gate.set()

    t = Threaded.options(max_concurrency=2).remote()
    calls = [t.take.remote(Loud(i)) for i in range(6)]
    while len(ray.get(t.begun.remote())) < 2:
        pass
    print(ray.get(t.begun.remote()))
    ray.get(t.open.remote())
    print(ray.get(calls))

    @ray.remote
    def fails():
        raise KeyError("an argument")

    try:
        ray.get(t.take.remote(fails.remote()))
    except KeyError as e:
        print(type(e).__mro__[1].__name__)
    """
    )
    assert out == "[('unpickled', 0), ('unpickled', 1)]\n[0, 1, 2, 3, 4, 5]\nRayTaskError\n"


KEPT_BY_AN_ACTOR = """
import os, pathlib, signal, threading, time
import ray

@ray.remote(num_cpus=0)
class Kept:
    def ping(self):
        return "pong"

@ray.remote(num_cpus=0)
class Keeper:
    def __init__(self, handles, driver, started):
        self.handles = handles
        pathlib.Path(started).touch()
        while pathlib.Path(f"/proc/{driver}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
            time.sleep(0.01)
        threading.Timer(1, os.kill, (driver, signal.SIGCONT)).start()

    def ping(self):
        return ray.get(self.handles[0].ping.remote())

ray.init(num_cpus=1)
kept = Kept.remote()
keeper = Keeper.remote([kept], os.getpid(), os.path.abspath("started"))
del kept
while not os.path.exists("started"):
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGSTOP)
print(ray.get(keeper.ping.remote(), timeout=30))
"""


def test_what_an_actor_keeps_of_its_arguments_lives(ray):
    """Its creator lets go of them when it hears that the actor is alive: by then it must have heard what the
    actor keeps, which comes another way. The second it is stopped for is for both to be there at once."""
    assert ray.run(KEPT_BY_AN_ACTOR) == "pong\n"
