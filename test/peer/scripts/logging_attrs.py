# SPDX-License-Identifier: Apache-2.0
import io
import json
import logging

import ray
from _show import show

show("attribute", lambda: ray.LoggingConfig(additional_log_standard_attrs=["nothing"]) and None) if False else None
try:
    ray.LoggingConfig(additional_log_standard_attrs=["nothing"])
except ValueError as e:
    print(str(e).split("{")[0])
show("level", lambda: ray.LoggingConfig(log_level="LOUD"))
show("encoding", lambda: ray.LoggingConfig(encoding="text"))
show("equal", lambda: ray.LoggingConfig() == ray.LoggingConfig(encoding="TEXT", log_level="INFO"))
print(ray.LoggingConfig())


def said(stream_of):
    handler = logging.getLogger().handlers[-1]
    stream = io.StringIO()
    old = handler.setStream(stream)
    logger = logging.getLogger("mine")
    logger.info("plain")
    logger.warning("of %s and %d", "a", 1, extra={"k": {"n": [1, 2]}, "other": "x y"})
    try:
        raise ValueError("inside")
    except ValueError:
        logger.exception("caught")
    handler.setStream(old)
    return stream.getvalue()


@ray.remote
def task():
    return said(None)


ray.init(num_cpus=1, log_to_driver=False, logging_config=ray.LoggingConfig(encoding="JSON", additional_log_standard_attrs=["name", "funcName", "threadName"]))
for where, text in (("driver", said(None)), ("task", ray.get(task.remote()))):
    for line in text.splitlines():
        fields = json.loads(line)
        print(where, sorted(fields))
        print("  ", [(k, fields.get(k)) for k in ("levelname", "message", "name", "funcName", "threadName", "k", "other", "job_id")])
        print("  ", type(fields["timestamp_ns"]).__name__, fields["asctime"][4], fields.get("exc_text", "")[-18:], fields["filename"])
ray.shutdown()
root = logging.getLogger()
root.handlers = []
ray.init(num_cpus=1, log_to_driver=False, logging_config=ray.LoggingConfig(encoding="TEXT", log_level="WARNING", additional_log_standard_attrs=["name", "levelno"]))
for where, text in (("driver", said(None)), ("task", ray.get(task.remote()))):
    for line in text.splitlines():
        head, sep, rest = line.partition(" -- ")
        print(where, head.split("\t")[1:], sep, [w.split("=")[0] if w.split("=")[0] in ("task_id", "node_id", "worker_id", "timestamp_ns") else w for w in rest.split(" ")])
