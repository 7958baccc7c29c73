# SPDX-License-Identifier: Apache-2.0
"""What users see of a cluster: ray.util.state, `ray list` and its sisters, metrics of what is held."""
import json
import re
import urllib.request

import yaml
from core_session import until

MIXED = """
    import os, time, urllib.request
    import ray
    from ray.util import state

    ray.init(num_cpus=2)

    @ray.remote
    def f(x):
        return x

    @ray.remote
    def waits(seconds):
        time.sleep(seconds)

    @ray.remote(max_retries=0)
    def bad():
        raise ValueError("boom")

    @ray.remote(max_retries=1)
    def dies():
        os._exit(3)

    @ray.remote
    class A:
        def m(self, x=None):
            return x

    @ray.remote
    class Broken:
        def __init__(self):
            raise KeyError("init")

    def fails(ref):
        try:
            ray.get(ref)
        except Exception as e:
            return type(e).__name__
"""


def test_tasks_and_their_attempts(ray):
    out = ray.run(
        MIXED
        + """
    ray.get([f.remote(i) for i in range(3)])
    ray.get(f.options(name="named").remote(1))
    hidden = f.options(enable_task_events=False, name="hidden").remote(1)
    ray.get(hidden)
    fails(bad.remote()), fails(dies.remote())
    a = A.options(name="keeper").remote()
    ray.get(a.m.remote())
    fails(Broken.remote().m.remote() if hasattr(Broken, "m") else bad.remote())
    running = waits.remote(100)
    blocked = f.remote(running)
    while not state.list_tasks(filters=[("name", "=", "waits"), ("state", "=", "RUNNING")]):
        time.sleep(0.05)
    counts = {}
    for task in state.list_tasks(detail=True):
        counts.setdefault((task.name, task.func_or_class_name, task.type, task.state), []).append(task)
    for key in sorted(counts):
        print(*key, len(counts[key]))
    task = counts["bad", "bad", "NORMAL_TASK", "FAILED"][0]
    print(task.error_type, "ValueError: boom" in task.error_message)
    first, second = sorted(counts["dies", "dies", "NORMAL_TASK", "FAILED"], key=lambda t: t.attempt_number)
    print(first.attempt_number, second.attempt_number, first.error_type, first.task_id == second.task_id)
    task = state.get_task(running)
    print(task.state, task.worker_pid > 0, task.node_id == ray.nodes()[0]["NodeID"], task.end_time_ms)
    times = [e["created_ms"] for e in counts["f", "f", "NORMAL_TASK", "FINISHED"][0].events]
    print(len(times), times == sorted(times))
    print(state.summarize_tasks()["cluster"]["total_actor_tasks"])
    print({e["ph"] for e in ray.timeline()})
    """
    )
    assert out == (
        "A.m A.m ACTOR_TASK FINISHED 1\n"
        "bad bad NORMAL_TASK FAILED 2\n"
        "dies dies NORMAL_TASK FAILED 2\n"
        "f f NORMAL_TASK FINISHED 3\n"
        "f f NORMAL_TASK PENDING_ARGS_AVAIL 1\n"
        "keeper:A.__init__ A.__init__ ACTOR_CREATION_TASK FINISHED 1\n"
        "named f NORMAL_TASK FINISHED 1\n"
        "waits waits NORMAL_TASK RUNNING 1\n"
        "TASK_EXECUTION_EXCEPTION True\n"
        "0 1 WORKER_DIED True\n"
        "RUNNING True True None\n"
        "5 True\n"
        "1\n"
    ) + out.splitlines()[-1] + "\n"
    assert set(re.findall("[XM]", out.splitlines()[-1])) == {"X"}


def test_tasks_of_a_driver_that_ended(ray):
    """Its records stay with gcs; what had not ended has failed."""
    assert ray.command("start", "--head", "--port=0", "--dashboard-port=0", "--num-cpus=1").returncode == 0
    try:
        ray.run(
            """
            import ray
            ray.init(address="auto")

            @ray.remote
            def f():
                return 1

            @ray.remote(num_cpus=100)
            def never():
                pass

            ray.get([f.remote() for _ in range(5)])
            kept = never.remote()
            """
        )
        listed = json.loads(ray.command("list", "tasks", "--format", "json").stdout)
        assert sorted((t["name"], t["state"]) for t in listed) == [("f", "FINISHED")] * 5 + [
            ("never", "FAILED")
        ]
        assert "f" in ray.command("summary", "tasks").stdout
    finally:
        ray.command("stop", "--force")


def test_commands(ray):
    """A driver's own cluster is found by its session; tables and YAML are the peer's."""
    process = ray.start(
        MIXED
        + """
    a = A.options(name="keeper").remote()
    kept = [ray.put(b"x"), f.remote(1), a.m.remote()]
    ray.get(kept)
    print("ready", flush=True)
    time.sleep(100)
    """
    )
    try:
        assert process.stdout.readline() == "ready\n", ray.logs()
        table = ray.command("list", "actors").stdout
        assert re.search(r"^======== List: .* ========\nStats:\n-+\nTotal: 1\n\nTable:\n-+\n    ACTOR_ID ", table.lstrip("\n")), table
        assert " 0  " in table and "ALIVE" in table
        (actor,) = yaml.safe_load(ray.command("list", "actors", "--detail").stdout)
        assert actor["name"] == "keeper" and actor["num_restarts"] == 0
        got = yaml.safe_load(ray.command("get", "actors", actor["actor_id"]).stdout)
        assert got == [actor]
        none = ray.command("list", "tasks", "--filter", "name=nobody").stdout
        assert none == "No resource in the cluster\n"
        wrong = ray.command("list", "tasks", "--filter", "color=red")
        assert wrong.returncode == 2 and "Invalid filter key 'color' for resource 'tasks'" in wrong.stdout
        memory = ray.command("memory").stdout
        assert "3, (" in memory and "ACTOR_HANDLE" in memory
        stats = ray.command("memory", "--stats-only").stdout
        assert "--- Aggregate object store stats across all nodes ---" in stats
        log = ray.command("logs", "actor", "--id", actor["actor_id"]).stdout
        assert log.startswith("--- Log has been truncated to last 1000 lines.")
        files = ray.command("logs", "cluster", "raylet*").stdout
        assert "raylet:\n- raylet.err" in files
    finally:
        process.kill()
        process.communicate()


HELD = """
    import gc

    def mixed():
        a = A.remote()
        big = ray.put(b"x" * 1_000_000)
        refs = [f.remote([big]) for _ in range(20)] + [a.m.remote(big) for _ in range(20)]
        nested = [f.remote(refs[0]), a.m.remote([refs[1], big])]
        ray.get(nested)
        fails(bad.remote()), fails(dies.remote())
        ray.cancel(waits.remote(100))
        ray.get(refs)

    def held(port):
        names = ("ray_owned_objects", "ray_borrowed_objects", "ray_tasks_pending", "ray_leases",
                 "ray_spilled_objects", "ray_node_rings")
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        values = {l.split("{")[0]: float(l.split()[-1]) for l in text.splitlines() if l[:1] != "#"}
        return {name: values[name] for name in names}
"""


def values_at(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.split("{")[0]: float(line.split()[-1]) for line in lines}


def test_nothing_is_left_of_what_a_driver_let_go(ray):
    """Calls, actors, borrowed and large values, errors, while the driver lives on."""
    out = ray.run(
        MIXED
        + HELD
        + """
    mixed()
    gc.collect()
    port = ray.nodes()[0]["MetricsExportPort"]
    deadline = time.monotonic() + 20
    while sum(held(port).values()) > held(port)["ray_node_rings"] and time.monotonic() < deadline:
        time.sleep(0.05)
    print({name: value for name, value in held(port).items() if value and name != "ray_node_rings"})
    print(state.summarize_objects()["cluster"]["total_objects"])
    """
    )
    assert out == "{}\n0\n"


def test_nothing_is_left_after_a_job(ray):
    """The cluster lives on: its totals are zero, in the metrics and in `ray memory`."""
    started = ray.command("start", "--head", "--port=0", "--dashboard-port=0", "--num-cpus=2",
                          "--metrics-export-port=0")
    assert started.returncode == 0, started.stdout
    try:
        port = int(ray.run(
            MIXED.replace("ray.init(num_cpus=2)", "ray.init(address='auto')")
            + HELD
            + """
    kept = [ray.put(b"y" * 2_000_000), A.options(name="keeper").remote(), f.remote(1)]
    mixed()
    print(ray.nodes()[0]["MetricsExportPort"])
    """
        ))
        zero = ("ray_owned_objects", "ray_borrowed_objects", "ray_tasks_pending", "ray_leases",
                "ray_object_store_used_memory", "ray_spilled_objects", "ray_node_rings")
        until(lambda: not any(values_at(port)[name] for name in zero), 20)
        assert {name: values_at(port)[name] for name in zero} == dict.fromkeys(zero, 0.0)
        memory = ray.command("memory", "--stats-only").stdout
        assert "Plasma memory usage 0 MiB, 0 objects, 0.0% full, 0.0% needed\n" in memory
        assert "Totals: 0 references (0 borrowed), 0 pending tasks, 0 leases\n" in memory
    finally:
        ray.command("stop", "--force")
