# SPDX-License-Identifier: Apache-2.0
"""gcs and raylets as a whole: tasks, actors, nodes, and what happens when processes die."""
import os
import pathlib
import signal
import urllib.request

from cluster import Daemon, IP, children, eventually, workers

COUNTER = """
@ray.remote
class Counter:
    def __init__(self): self.value = 0
    def increment(self):
        self.value += 1
        return self.value
    def pid(self): return os.getpid()
"""


def test_tasks_and_actors(start):
    out = start().run(COUNTER + """
@ray.remote
def square(x): return x * x
print(ray.get([square.remote(i) for i in range(5)]))
c = Counter.remote()
print(ray.get([c.increment.remote() for _ in range(100)]) == list(range(1, 101)))
@ray.remote
def outer(): return ray.get([square.remote(i) for i in range(3)])
print(ray.get([outer.remote() for _ in range(4)]))
""")
    assert out.splitlines()[:3] == ["[0, 1, 4, 9, 16]", "True", "[[0, 1, 4]" + ", [0, 1, 4]" * 3
                                    + "]"]


def test_prints_reach_the_driver(start):
    cluster = start()
    out = cluster.run("""
@ray.remote
def speak(): print("from a task")
@ray.remote
class Actor:
    def speak(self): print("from an actor", file=sys.stderr)
ray.get(speak.remote())
ray.get(Actor.remote().speak.remote())
""")
    assert "(speak pid=" in out and ") from a task" in out
    assert "(Actor pid=" in out and ") from an actor" in out
    assert ":task_name:" not in out
    logs = pathlib.Path(cluster.head.facts["session_dir"]) / "logs"
    names = [f.name for f in logs.glob("worker-*.out") if "from a task" in f.read_text()]
    assert len(names) == 1 and names[0].split("-")[2] == "01000000"


def test_two_nodes_share_work(start):
    cluster = start(cpus=1)
    cluster.add_node(1, special=1)
    out = cluster.run("""
@ray.remote
def where():
    time.sleep(0.3)
    return ray.get_runtime_context().get_node_id()
print(len(set(ray.get([where.remote() for _ in range(2)]))))
@ray.remote(num_cpus=0, resources={"special": 0.5})
class Special:
    def where(self): return ray.get_runtime_context().get_node_id()
    def size(self, data): return len(data)
s = Special.remote()
print(ray.get(s.where.remote()) != ray.get_runtime_context().get_node_id())
print(ray.get(s.size.remote(ray.put(b"x" * 3_000_000))))
""")
    assert out.splitlines()[-3:] == ["2", "True", "3000000"]


def test_workers_of_a_job_end_with_it(start):
    cluster = start()
    driver = cluster.driver(COUNTER + """
@ray.remote
def f(): return os.getpid()
actors = [Counter.remote() for _ in range(3)]
print(*ray.get([f.remote() for _ in range(4)] + [a.pid.remote() for a in actors]), flush=True)
sys.stdin.read()
""")
    used = set(map(int, driver.stdout.readline().split()))
    assert len(used) >= 4
    driver.kill()
    driver.wait()
    eventually(lambda: not used & set(workers(cluster.head)))
    eventually(lambda: len(workers(cluster.head)) <= 2)  # fresh ones, no more than CPUs


def test_many_more_actors_than_cpus(start):
    out = start().run(COUNTER + """
actors = [Counter.remote() for _ in range(60)]
print(len(set(ray.get([a.pid.remote() for a in actors]))))
""")
    assert out.splitlines()[-1] == "60"


def test_worker_death(start):
    out = start().run(COUNTER + """
@ray.remote(max_retries=0)
def die(): os.kill(os.getpid(), signal.SIGKILL)
try: ray.get(die.remote())
except ray.exceptions.WorkerCrashedError: print("crashed")
c = Counter.options(max_restarts=1).remote()
first = ray.get(c.pid.remote())
os.kill(first, signal.SIGKILL)
while True:
    try:
        second = ray.get(c.pid.remote())
        break
    except ray.exceptions.RayActorError: pass
print(first != second)
os.kill(second, signal.SIGKILL)
try:
    while True: ray.get(c.pid.remote())
except ray.exceptions.ActorDiedError: print("dead")
""")
    assert [line for line in out.splitlines() if line in ("crashed", "True", "dead")] == \
        ["crashed", "True", "dead"]


def test_zygote_death_is_no_worker_death(start):
    cluster = start()
    driver = cluster.driver(COUNTER + """
c = Counter.remote()
print(ray.get(c.increment.remote()), flush=True)
sys.stdin.readline()
print(ray.get(c.increment.remote()), flush=True)
@ray.remote
def f(): return "new worker"
print(ray.get([f.remote() for _ in range(4)])[-1])
""")
    assert driver.stdout.readline() == "1\n"
    for zygote in children(cluster.head.pid):
        os.kill(zygote, signal.SIGKILL)
    out, _ = driver.communicate("go\n", timeout=60)
    assert out.splitlines()[-2:] == ["2", "new worker"], out


def test_node_death(start):
    cluster = start()
    other = cluster.add_node(2, special=1)
    driver = cluster.driver(COUNTER + """
c = Counter.options(resources={"special": 0.1}, num_cpus=0).remote()
print(ray.get(c.increment.remote()), flush=True)
sys.stdin.readline()
try:
    while True: ray.get(c.increment.remote())
except ray.exceptions.ActorDiedError: print("dead")
print([n["Alive"] for n in ray.nodes()].count(True))
""")
    assert driver.stdout.readline() == "1\n"
    there = workers(other)
    other.kill()
    out, _ = driver.communicate("go\n", timeout=60)
    assert out.splitlines()[-2:] == ["dead", "1"], out
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in there))


def test_gcs_is_killed_and_comes_back(start):
    cluster = start(store=True)
    driver = cluster.driver(COUNTER + """
c = Counter.options(name="counter", lifetime="detached", namespace="n").remote()
print(ray.get(c.increment.remote()), flush=True)
sys.stdin.readline()
print(ray.get(c.increment.remote()), flush=True)  # while gcs is away
sys.stdin.readline()
d = Counter.remote()
print(ray.get(d.increment.remote()), flush=True)
print(ray.get(ray.get_actor("counter", namespace="n").increment.remote()))
""")
    assert driver.stdout.readline() == "1\n"
    cluster.gcs.kill()
    driver.stdin.write("go\n")
    driver.stdin.flush()
    assert driver.stdout.readline() == "2\n"
    cluster.start_gcs()
    out, _ = driver.communicate("go\n", timeout=60)
    assert driver.returncode == 0 and out.splitlines()[-2:] == ["1", "3"], out
    out = cluster.run("""
c = ray.get_actor("counter", namespace="n")
print(ray.get(c.increment.remote()))
""")
    assert out.splitlines()[-1] == "4"


def test_calls_wait_for_a_gcs_that_is_away(start):
    cluster = start(store=True)
    driver = cluster.driver(COUNTER + """
print("up", flush=True)
sys.stdin.readline()
print(ray.get(Counter.remote().increment.remote()))
""")
    assert driver.stdout.readline() == "up\n"
    cluster.gcs.kill()
    driver.stdin.write("go\n")
    driver.stdin.flush()
    cluster.start_gcs()
    out, _ = driver.communicate(timeout=60)
    assert out.splitlines()[-1] == "1", out


def test_health_and_metrics(start, tmp_path):
    cluster = start()
    free = [str(20000 + os.getpid() % 10000), str(30000 + os.getpid() % 10000)]
    node = cluster.add_node(1, "--agent-listen", f"{IP}:{free[0]}", "--metrics-listen", f"{IP}:{free[1]}")
    assert node

    def get(port, path):
        with urllib.request.urlopen(f"http://{IP}:{port}{path}", timeout=10) as reply:
            return reply.read().decode()

    assert get(free[0], "/api/local_raylet_healthz") == "success"
    assert get(free[0], "/api/healthz") == "raylet: success\ngcs: success (no local gcs)"
    assert 'ray_resources{Name="CPU"' in get(free[1], "/metrics")


def test_a_second_gcs_on_the_same_store_is_refused(start, tmp_path):
    cluster = start(store=True)
    try:
        Daemon(tmp_path / "second.log", "gcs", "--listen", f"{IP}:0", "--temp-dir",
               tmp_path / "t", "--session-name", cluster.name, "--store", cluster.store)
    except AssertionError as error:
        assert "in use by another process" in str(error)
    else:
        raise AssertionError("it started")
