import ray
from _show import show
from ray.util.scheduling_strategies import DoesNotExist, Exists, In, NodeLabelSchedulingStrategy as Label, NotIn

ray.init(num_cpus=2, labels={"zone": "a", "tier": "gold"}, log_to_driver=False)


@ray.remote
def f():
    return 1


@ray.remote
class A:
    def m(self):
        return 2


def runs(**options):
    ref = f.options(**options).remote()
    ready, _ = ray.wait([ref], timeout=1)
    return bool(ready)


labels = ray.get_runtime_context().get_node_labels()
print({k: v for k, v in labels.items() if k in ("zone", "tier")}, "ray.io/node-id" in labels)
print(sorted(ray.nodes()[0]["Labels"]) == sorted(labels))
for selector in ({"zone": "a"}, {"zone": "!b"}, {"zone": "in(a,b)"}, {"zone": "!in(b,c)"}, {"zone": "a", "tier": "gold"}):
    print(selector, runs(label_selector=selector))
for selector in ({"zone": "b"}, {"zone": "!a"}, {"zone": "in(b,c)"}, {"zone": "!in(a,b)"}, {"none": "x"}):
    print(selector, runs(label_selector=selector))
print(ray.get(A.options(label_selector={"tier": "gold"}).remote().m.remote()))
print(runs(label_selector={"zone": "b"}, fallback_strategy=[{"label_selector": {"zone": "c"}}, {"label_selector": {"zone": "a"}}]))
a = A.options(label_selector={"zone": "b"}, fallback_strategy=[{"label_selector": {"zone": "a"}}]).remote()
print(ray.get(a.m.remote()))
for strategy in (Label({"zone": In("a", "b")}), Label({"zone": NotIn("b")}), Label({"zone": Exists()}), Label({"none": DoesNotExist()}), Label({}, soft={"zone": In("b")}), Label({"zone": In("a")}, soft={"tier": In("x")})):
    print(runs(scheduling_strategy=strategy))
for strategy in (Label({"zone": In("b")}), Label({"zone": DoesNotExist()}), Label({"none": Exists()})):
    print(runs(scheduling_strategy=strategy))
show("both empty", lambda: Label({}))
show("not a map", lambda: Label([]))
show("not a str", lambda: Label({1: In("a")}))
show("no operator", lambda: Label({"a": "b"}))
show("no values", lambda: In())
show("values", lambda: NotIn(1))
show("bad selector", lambda: f.options(label_selector={"a": "-"}))
show("bad key", lambda: f.options(label_selector={"-": "a"}))
show("bad fallback", lambda: f.options(fallback_strategy=[{}]))
show("bad fallback option", lambda: f.options(fallback_strategy=[{"x": 1}]))
