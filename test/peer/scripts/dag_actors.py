# SPDX-License-Identifier: Apache-2.0
"""Task graphs with actors: bound classes, methods in order, live handles, graphs that travel."""
import re
import warnings

import ray
from _show import Report
from ray.dag import ClassMethodNode, ClassNode, InputNode, MultiOutputNode

warnings.simplefilter("ignore")
report = Report()
ray.init(num_cpus=4)


@ray.remote
class Counter:
    def __init__(self, start=0, *, step=1):
        self.value, self.step = start, step

    def add(self, by=1):
        self.value += by * self.step
        return self.value

    def get(self):
        return self.value

    @ray.method(num_returns=2)
    def pair(self):
        return self.value, -self.value

    def name(self):
        return ray.get_runtime_context().get_actor_name()


@ray.remote
def double(value):
    return 2 * value


# An actor of the graph: one for each execution.
counter = Counter.bind(10)
report.print(type(counter).__name__, isinstance(counter, ClassNode))
graph = counter.add.bind(5)
report.print(type(graph).__name__, isinstance(graph, ClassMethodNode), graph.get_method_name())
report.print(ray.get(graph.execute()), ray.get(graph.execute()))
report.print(type(counter.execute()).__name__, ray.get(counter.execute().get.remote()))

# Calls come in the order of their bind().
counter = Counter.bind(0, step=10)
first = counter.add.bind(1)
second = counter.add.bind(2)
last = counter.get.bind()
report.print(ray.get(last.execute()))
report.print(ray.get(MultiOutputNode([last, first, second]).execute()))
report.print(ray.get(double.bind(Counter.bind(double.bind(4)).get.bind()).execute()))
named = Counter.options(name="named", num_cpus=0).bind()
report.print(ray.get(named.name.bind().execute()), named.get_options())

with InputNode() as dag_input:
    counter = Counter.bind(1)
    graph = double.bind(counter.add.bind(dag_input))
report.print(ray.get(graph.execute(3)), ray.get(graph.execute(4)))
report.show("input to a constructor", lambda: Counter.bind(dag_input))

# A live actor keeps its state.
live = Counter.remote(100)
with InputNode() as dag_input:
    graph = live.add.bind(dag_input)
report.print(type(graph).__name__, ray.get(graph.execute(1)), ray.get(graph.execute(2)))
report.print(graph.is_class_method_call, graph.is_class_method_output, graph.num_returns)
results = live.pair.bind()
report.print(type(results).__name__, len(results), results[1].is_class_method_output, results[1].output_idx)
report.print(ray.get(double.bind(results[1]).execute()))
report.print(ray.get(MultiOutputNode(list(results)).execute()))
report.print(results[0].class_method_call is results[1].class_method_call, results[0].num_returns)
report.print(ray.get(live.add.options(name="other").bind(0).execute()))
report.print(sorted(live.add.bind(1).get_options().items(), key=str))

report.show("bind twice", lambda: Counter.bind().bind())
report.show("method remote", lambda: Counter.bind().add.remote())
report.show("no method", lambda: Counter.bind().no_such)
report.show("too many", lambda: live.get.bind(1))
report.show("unknown", lambda: live.get.bind(a=1))


@ray.remote
def execute(graph):
    return ray.get(graph.execute(7))


with InputNode() as dag_input:
    graph = double.bind(dag_input)
report.print(ray.get(execute.remote(graph)))

text = str(double.bind(Counter.bind(1, step=2).add.bind([1, double.bind(3)])))
text = re.sub(r"[0-9a-f]{32}", "UUID", text)
text = re.sub(r"<function .*?>", "FUNCTION", text)
text = re.sub(r"<class '.*?'>", "CLASS", text)
report.print(text)
report.end()
