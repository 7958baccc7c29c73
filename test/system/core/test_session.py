# SPDX-License-Identifier: Apache-2.0
"""A cluster of init(): quick, and gone with its driver."""
import signal

from core_session import until

TASK = """
    import ray
    ray.init(num_cpus=2)

    @ray.remote
    def f(x):
        return x + 1

    @ray.remote
    class A:
        def m(self):
            return 1

    a = A.remote()
    print(ray.get([f.remote(i) for i in range(3)]), ray.get(a.m.remote()), flush=True)
"""


def test_nothing_is_left_after_the_end(ray):
    assert ray.run(TASK) == "[1, 2, 3] 1\n"
    assert until(lambda: not ray.processes()), ray.processes()


def test_nothing_is_left_after_kill_9(ray):
    process = ray.start(TASK + "    import time; time.sleep(60)")
    assert process.stdout.readline() == "[1, 2, 3] 1\n"
    assert len(ray.processes()) >= 4
    process.send_signal(signal.SIGKILL)
    process.wait(5)
    assert until(lambda: not ray.processes()), ray.processes()


def test_nothing_is_left_after_sigterm(ray):
    process = ray.start(TASK + "    import time; time.sleep(60)")
    assert process.stdout.readline() == "[1, 2, 3] 1\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 15
    assert until(lambda: not ray.processes()), ray.processes()


def test_interrupt_while_waiting(ray):
    process = ray.start(
        TASK
        + """
    import time

    @ray.remote
    def slow():
        time.sleep(60)

    try:
        ray.get(slow.remote())
    except KeyboardInterrupt:
        print("interrupted")
    """
    )
    assert process.stdout.readline() == "[1, 2, 3] 1\n"
    until(lambda: False, 0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=15)
    assert out == "interrupted\n", err


def test_the_dashboard_starts_when_it_is_asked(ray):
    out = ray.run(
        """
        import urllib.request
        import ray
        context = ray.init(num_cpus=1)
        def version():
            with urllib.request.urlopen(f"http://{context.dashboard_url}/api/version") as answer:
                return answer.status
        print(version(), version())
        ray.shutdown()
        ray.init(num_cpus=1)
        ray.shutdown()
        """
    )
    assert out == "200 200\n"
    assert until(lambda: not ray.processes()), ray.processes()


def test_a_dashboard_that_was_wanted_is_there(ray):
    process = ray.start(
        """
        import ray, time
        ray.init(num_cpus=1, include_dashboard=True)
        print("ready", flush=True)
        time.sleep(60)
        """
    )
    assert process.stdout.readline() == "ready\n"
    assert any("mobula dashboard" in line for line in ray.processes().values())
    process.terminate()
    process.wait(10)


def test_import_is_light(ray):
    """What `import ray` loads: a driver must not wait for modules that it may never use."""
    out = ray.run(
        """
        import sys
        before = set(sys.modules)
        import ray
        print(sorted(m for m in set(sys.modules) - before if not m.startswith("ray")))
        """
    )
    heavy = ("asyncio", "logging", "typing", "inspect", "json", "pickle", "subprocess", "socket")
    assert not [name for name in heavy if f"'{name}'" in out], out


def test_references_and_counts_go_to_zero(ray):
    out = ray.run(
        """
        import gc, time
        import ray
        from ray import _mobula
        ray.init(num_cpus=2)

        @ray.remote
        def f(x):
            return [x, ray.put(b"y" * 1000)]

        @ray.remote
        class A:
            def keep(self, refs):
                self.refs = refs

            def drop(self):
                del self.refs

        a = A.remote()
        refs = [f.remote(i) for i in range(100)]
        values = ray.get(refs)
        ray.get(a.keep.remote(refs))
        big = ray.put(bytes(5_000_000))
        ray.get(a.drop.remote())
        del refs, values, big, a
        gc.collect()
        keys = ("refs_owned", "refs_borrowed", "tasks_pending", "values_bytes", "calls_waiting")
        for _ in range(200):
            counts = _mobula.counts()
            if not any(counts[k] for k in keys):
                break
            time.sleep(0.02)
        print({k: counts[k] for k in keys if counts[k]})
        """
    )
    assert out == "{}\n"


def test_a_value_outlives_its_session(ray):
    """A zero-copy array must not lose its memory when the runtime goes."""
    out = ray.run(
        """
        import numpy, ray
        ray.init(num_cpus=1)
        array = ray.get(ray.put(numpy.ones(1_000_000)))
        assert not array.flags.writeable
        ray.shutdown()
        print(array.sum())
        ray.init(num_cpus=1)
        print(array.sum())
        """
    )
    assert out == "1000000.0\n1000000.0\n"


def test_fork_of_a_driver(ray):
    out = ray.run(
        """
        import os, ray
        ray.init(num_cpus=1)
        pid = os.fork()
        if pid == 0:
            try:
                ray.put(1)
            except Exception as e:
                os.write(1, b"refused\\n")
            os._exit(0)
        os.waitpid(pid, 0)
        print(ray.get(ray.put(2)))
        """
    )
    assert out == "refused\n2\n"


def test_counter(ray):
    """The seed's script: 10,000 calls of one actor, in order."""
    out = ray.run(
        """
        import ray
        ray.init()

        @ray.remote
        class Counter:
            def __init__(self):
                self.value = 0

            def increment(self):
                self.value += 1
                return self.value

        counter = Counter.remote()
        for value in ray.get([counter.increment.remote() for _ in range(10000)]):
            print(value)
        """
    )
    assert out.split() == [str(i) for i in range(1, 10001)]


def test_references_of_an_earlier_session_are_refused(ray):
    out = ray.run(
        """
        import ray
        ray.init(num_cpus=1)

        @ray.remote
        def f(x):
            return x

        old = [ray.put(1), ray.put(bytes(1_000_000)), f.remote(2)]
        print(len(ray.get(old)))
        ray.shutdown()
        ray.init(num_cpus=1)
        made = ray.ObjectRef.from_random()
        for ref in [*old, made]:
            for use in (lambda: ray.get(ref), lambda: ray.get([f.remote(3), ref]),
                        lambda: ray.wait([ref]), lambda: f.remote(ref), lambda: ray.cancel(ref),
                        lambda: ray.get(ray.get(f.remote([ref]))[0])):
                try:
                    print(use())
                except (ValueError, TypeError) as e:
                    assert "owner is unknown" in str(e) or "No owner" in str(e), e
        # Those of this session may have the numbers of the former one.
        print(ray.get([ray.put(4), f.remote(5)]))
        del old
        """
    )
    assert out == "3\n[4, 5]\n"
