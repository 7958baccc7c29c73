# SPDX-License-Identifier: Apache-2.0
import pickle

import ray
from _show import show
from ray.util.metrics import Counter, Gauge, Histogram

ray.init(num_cpus=1, log_to_driver=False)
counter = Counter("requests", description="how many", tag_keys=("route", "code"))
counter.set_default_tags({"code": "200"})
print(counter.info)
counter.inc(2, tags={"route": "/"})
show("not positive", lambda: counter.inc(0, tags={"route": "/"}))
show("no tag", lambda: counter.inc(1))
show("unknown tag", lambda: counter.inc(1, tags={"route": "/", "other": "x"}))
show("tag of a wrong type", lambda: counter.inc(1, tags={"route": 1}))
show("default tag unknown", lambda: counter.set_default_tags({"other": "x"}))
show("default tag of a wrong type", lambda: counter.set_default_tags({"code": 1}))
show("keys", lambda: Counter("a", tag_keys="route"))
show("key", lambda: Counter("a", tag_keys=(1,)))
show("no name", lambda: Gauge(""))
show("no text", lambda: Gauge(1))
gauge = Gauge("level", tag_keys=())
gauge.set(3)
gauge.set(3.5)
show("no number", lambda: gauge.set("x"))
print(gauge.info)
histogram = Histogram("sizes", boundaries=[1, 10], tag_keys=("a",))
histogram.observe(5, tags={"a": "b"})
print(histogram.info)
show("no boundaries", lambda: Histogram("sizes", boundaries=[]))
show("not positive", lambda: Histogram("sizes", boundaries=[0, 1]))
copy = pickle.loads(pickle.dumps(counter))
print(copy.info)
