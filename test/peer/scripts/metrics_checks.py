# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show
from ray.util.metrics import Counter, Gauge, Histogram

ray.init(num_cpus=1, log_to_driver=False)
for label, call in [
    ("a name with a dash", lambda: Counter("a-b").info),
    ("a name with a dot", lambda: Gauge("a.b").info),
    ("a name with a space", lambda: Counter("a b").info),
    ("a name that starts with a digit", lambda: Counter("1a").info),
    ("an empty name", lambda: Counter("")),
    ("keys, none", lambda: Counter("d", tag_keys=None).info),
    ("keys, a list", lambda: Counter("e", tag_keys=["a"]).info),
    ("boundaries, none", lambda: Histogram("f")),
    ("boundaries, text", lambda: Histogram("g", boundaries=["a"])),
    ("boundaries, mixed", lambda: Histogram("h", boundaries=[3, 1]).info),
    ("boundaries, negative", lambda: Histogram("i", boundaries=[-1, 1])),
    ("inc by text", lambda: Counter("j").inc("a")),
    ("inc by nothing", lambda: Counter("k").inc(None)),
    ("inc by less", lambda: Counter("l").inc(-1)),
    ("observe text", lambda: Histogram("m", boundaries=[1]).observe("a")),
    ("set nothing", lambda: Gauge("n").set(None)),
    ("tags that are no map", lambda: Gauge("o", tag_keys=("a",)).set(1, tags=["a"])),
    ("tags, two missing", lambda: Gauge("p", tag_keys=("a", "b")).set(1)),
    ("tags, an extra", lambda: Gauge("q").set(1, tags={"a": "b"})),
    ("default tags", lambda: Gauge("r", tag_keys=("a",)).set_default_tags({"a": "x"}).info),
    ("default tags, no map", lambda: Gauge("s", tag_keys=("a",)).set_default_tags(3)),
    ("twice", lambda: (Counter("t").inc(), Counter("t").inc())),
    ("another kind of one name", lambda: (Counter("u").inc(), Gauge("u").set(1))),
    ("__reduce__", lambda: Counter("v", "w", ("x",)).__reduce__()[1]),
]:
    show(label, call)
