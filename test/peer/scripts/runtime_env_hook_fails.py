# SPDX-License-Identifier: Apache-2.0
"""A worker_process_setup_hook that raises, or can't be found."""
import ray
from _show import Report

report = Report()


def bad_hook():
    raise ValueError("the hook's")


def outcome(label, call, wanted):
    """Of the two kinds of errors, what both rays say."""
    try:
        report.print("   ", label, call())
    except ray.exceptions.RayActorError as e:
        report.print("   ", label, type(e).__name__, [text for text in wanted if text not in str(e)])
    except ray.exceptions.RayError as e:
        report.print("   ", label, isinstance(e, TimeoutError))


@ray.remote(max_retries=0)
def task():
    return 1


@ray.remote
class Actor:
    def call(self):
        return 1


TRACE = "Please make sure the given module exists and is available from ray workers. For more details, see the error trace below."
for hook, wanted in (
    (bad_hook, ["Failed to execute the setup hook method. Function name:", "ValueError: the hook's"]),
    ("no_such_module.hook", [
        "Failed to execute the setup hook method, no_such_module.hook from ``ray.init(runtime_env="
        "{'worker_process_setup_hook': no_such_module.hook})``. " + TRACE,
        "ModuleNotFoundError: No module named 'no_such_module'",
    ]),
    ("os.no_such_function", ["AttributeError: module 'os' has no attribute 'no_such_function'"]),
    ("nonsense", ["ValueError: You need to pass a valid path like mymodule.provider_class"]),
):
    label = hook if isinstance(hook, str) else hook.__name__
    report.show(label, lambda: ray.init(num_cpus=1, log_to_driver=False, runtime_env={"worker_process_setup_hook": hook}) and None)
    if ray.is_initialized():
        outcome("task", lambda: ray.get(task.remote(), timeout=60), wanted)
        outcome("actor", lambda: ray.get(Actor.remote().call.remote(), timeout=60), wanted)
    ray.shutdown()
report.end()
