import os
import time

import ray
from _show import Report
from ray.util import state

ray.init(num_cpus=2, log_to_driver=False)
os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address  # not another one of this machine
report = Report()


@ray.remote
def f(x):
    return x


@ray.remote(max_retries=0)
def bad():
    raise ValueError("boom")


@ray.remote(max_retries=1)
def dies():
    os._exit(3)


@ray.remote
def waits():
    time.sleep(1000)


@ray.remote(num_cpus=0)
class A:
    def m(self):
        return 1


def fails(ref):
    try:
        ray.get(ref)
    except Exception:
        pass


def until(condition):
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.2)


ray.get([f.remote(i) for i in range(3)] + [f.options(name="named").remote(1)])
fails(bad.remote())
fails(dies.remote())
keeper = A.options(name="keeper").remote()
gone = A.remote()
ray.get([keeper.m.remote(), gone.m.remote()])
ray.kill(gone)
running = waits.remote()
blocked = f.remote(running)

until(lambda: len(state.list_tasks(filters=[("state", "!=", "NIL")])) >= 13)
until(lambda: state.list_tasks(filters=[("name", "=", "waits"), ("state", "=", "RUNNING")]))
until(lambda: len(state.list_actors(filters=[("state", "=", "DEAD")])) == 1)

for task in sorted(
    (t.name, t.func_or_class_name, t.type, t.state, t.attempt_number, t.error_type, t.job_id)
    for t in state.list_tasks(limit=1000)
    if not (t.name == "dies" and t.error_type is None)
):
    report.print(*task)
for actor in sorted((a.name, a.class_name, a.state, a.job_id) for a in state.list_actors()):
    report.print(*actor)
(node,) = state.list_nodes()
report.print(node.state, node.is_head_node, node.state_message, node.resources_total["CPU"])
(job,) = state.list_jobs()
report.print(job.job_id, getattr(job.status, "value", job.status), job.submission_id)
report.print(state.get_task(running).state, state.get_task(blocked).state)
report.print(state.get_actor(keeper._actor_id.hex()).name, state.get_placement_group("00" * 18))
report.print(sorted(w.worker_type for w in state.list_workers(filters=[("worker_type", "=", "DRIVER")])))
report.print(sorted({o.reference_type for o in state.list_objects(raise_on_missing_output=False)}))
summary = state.summarize_tasks()["cluster"]
report.print(summary["total_actor_tasks"], summary["total_actor_scheduled"], summary["summary_by"])
report.print(sorted(summary["summary"]["f"]["state_counts"].items()))
summary = state.summarize_actors()["cluster"]
report.print(summary["total_actors"], sorted(summary["summary"]["A"]["state_counts"].items()))
report.print(len(state.list_tasks(limit=2)), state.list_tasks(filters=[("name", "=", "nobody")]))


def refused(function):
    """pydantic's errors are ValueErrors with more words around them."""
    try:
        function()
    except ValueError as e:
        return str(e).partition("Value error, ")[2].partition(" [type=")[0] or str(e)


report.print(refused(lambda: state.list_tasks(filters=[("name", ">", "x")])))
report.print(refused(lambda: list(state.get_log(node_id=node.node_id))))
report.print(refused(lambda: list(state.get_log(filename="x"))))
report.show("number", lambda: state.list_tasks(filters=[("attempt_number", "=", "x")]))
report.show("limit", lambda: state.list_tasks(limit=100000))
report.show("logs of where", lambda: state.list_logs())
report.end()
