# SPDX-License-Identifier: Apache-2.0
"""Small parts of the package that programs and their tests import."""


def test_a_breakpoint_in_a_task_waits_for_nobody_without_debugpy(ray):
    assert ray.run("""
        import ray, sys
        sys.modules["debugpy"] = None
        ray.init(num_cpus=1)

        @ray.remote
        def f():
            import sys
            sys.modules["debugpy"] = None  # not installed
            breakpoint()
            ray.util.pdb.set_trace()
            return 5

        print(ray.get(f.remote()))
    """) == "5\n"


def test_actor_groups(ray):
    assert ray.run("""
        import ray, warnings
        warnings.simplefilter("ignore")
        from ray.util.actor_group import ActorGroup
        ray.init(num_cpus=2)

        class Adder:
            def __init__(self, start, step=1):
                self.value, self.step = start, step

            def add(self, count):
                self.value += count * self.step
                return self.value

            def get_actor_metadata(self):
                return self.step

        group = ActorGroup(Adder, 2, num_cpus_per_actor=0.5, init_args=(10,), init_kwargs={"step": 3})
        print(len(group), ray.get(group.add.remote(2)), group.actor_metadata)
        group.remove_actors([0])
        print(len(group), ray.get(group.add.remote(1)))
        group.shutdown()
        try:
            group.add
        except RuntimeError as e:
            print(e)
    """) == """2 [16, 16] [3, 3]
1 [19]
This ActorGroup has been shutdown. Please start it again.
"""


def test_what_tests_borrow(ray):
    assert ray.run("""
        import ray
        from ray._private import services, state, test_utils, utils
        from ray._private.internal_api import memory_summary
        from ray._private.test_utils import SignalActor, wait_for_condition
        ray.init(num_cpus=1)
        signal = SignalActor.remote()

        @ray.remote
        def f():
            ray.get(signal.wait.remote())
            return 1

        ref = f.remote()
        wait_for_condition(lambda: ray.get(signal.cur_num_waiters.remote()) == 1)
        ray.get(signal.send.remote())
        print(ray.get(ref), utils.get_num_cpus() > 0, 0 < utils.estimate_available_memory() <= utils.get_system_memory())
        print(services.get_node_ip_address() == ray.util.get_node_ip_address())
        print(list(state.actors(actor_state_name="ALIVE")) == [signal._actor_id.hex()])
        try:
            wait_for_condition(lambda: 1 / 0, timeout=0.1)
        except RuntimeError as e:
            print(str(e).splitlines()[0], "ZeroDivisionError" in str(e))
        kept = ray.put(b"x" * 200000)
        print(kept.hex() in memory_summary())

        @ray.remote(max_restarts=1)
        class A:
            def m(self):
                return 7

        a = A.remote()
        ray.get(a.m.remote())
        test_utils.kill_actor_and_wait_for_failure(a)
        print(test_utils.run_string_as_driver("print(3)"), end="")
    """) == """1 True True
True
True
The condition wasn't met before the timeout expired. Last exception: Traceback (most recent call last): True
True
3
"""
