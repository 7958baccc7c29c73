# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import json
import logging
import re

show("encoding", lambda: ray.LoggingConfig(encoding="XML"))
config = ray.LoggingConfig(encoding="JSON", log_level="WARNING", additional_log_standard_attrs=["name"])
print(config.encoding, config.log_level, config.additional_log_standard_attrs, config.to_dict())
print(ray.LoggingConfig.from_dict({"encoding": "TEXT", "unknown": 1}) == ray.LoggingConfig())
show("type", lambda: ray.init(num_cpus=1, logging_config=1))
ray.init(num_cpus=2, log_to_driver=False, logging_config=config)


@ray.remote
def task():
    import io

    handler = logging.getLogger().handlers[-1]
    stream = io.StringIO()
    handler.setStream(stream)
    logging.getLogger("mine").info("not shown")
    logging.getLogger("mine").warning("shown %d", 5, extra={"user": "extra"})
    root, library = logging.getLogger(), logging.getLogger("ray")
    return stream.getvalue(), root.level, library.level, library.propagate


@ray.remote
class A:
    def m(self):
        return task._function()


def report(name, answer):
    text, *levels = answer
    print(name, levels, len(text.splitlines()))
    said = json.loads(text)
    print(sorted(said))
    for key in ("levelname", "message", "user", "name", "task_name", "actor_name", "job_id"):
        print("  ", key, said.get(key))
    print("  ", said["task_func_name"].rsplit(".", 1)[-1], len(said["task_id"]), len(said["node_id"]))


report("task", ray.get(task.remote()))
report("actor", ray.get(A.options(name="named").remote().m.remote()))
root = logging.getLogger()
print(root.level, [type(h).__name__ for h in root.handlers], logging.getLogger("ray").propagate)
ray.shutdown()
ray.init(num_cpus=1, log_to_driver=False, logging_config=ray.LoggingConfig())


@ray.remote
def plain():
    import io

    handler = logging.getLogger().handlers[-1]
    stream = io.StringIO()
    handler.setStream(stream)
    logging.getLogger("mine").info("said")
    return stream.getvalue()


line = ray.get(plain.remote())
print(re.sub(r"\d", "9", line.split(" -- ")[0].split(",")[0]), " -- said " in line)
print([word.split("=")[0] for word in line.split(" -- said ")[1].split()])
