# SPDX-License-Identifier: Apache-2.0
"""Task graphs: bind() of functions, inputs, several outputs, and what a graph refuses."""
import warnings

import numpy
import ray
from _show import Report
from ray.dag import (
    DAGInputData,
    DAGNode,
    FunctionNode,
    InputAttributeNode,
    InputNode,
    MultiOutputNode,
)

warnings.simplefilter("ignore")
report = Report()
ray.init(num_cpus=2)


@ray.remote
def add(a, b=1, *, more=0):
    return a + b + more


@ray.remote
def total(values):
    return sum(ray.get(values["nodes"])) if isinstance(values, dict) else sum(ray.get(values))


@ray.remote(num_returns=2)
def two():
    return 1, 2


@ray.remote
class Log:
    def __init__(self):
        self.lines = []

    def append(self, line):
        self.lines.append(line)

    def all(self):
        return self.lines


log = Log.remote()


@ray.remote
def noted(name, *before):
    ray.get(log.append.remote(name))
    return name


# Constants, chains, diamonds: each node is one call.
node = add.bind(1, 2)
report.print(type(node).__name__, isinstance(node, DAGNode), isinstance(node, FunctionNode))
report.print(node.get_args(), node.get_kwargs(), node.get_other_args_to_resolve())
reference = node.execute()
report.print(type(reference).__name__, ray.get(reference))
report.print(ray.get(add.bind(add.bind(1), b=add.bind(2), more=3).execute()))
shared = noted.bind("shared")
ends = MultiOutputNode([noted.bind("left", shared), noted.bind("right", shared)])
report.print(ray.get(ends.execute()), sorted(ray.get(log.all.remote())))
report.print(ray.get(noted.bind("second", noted.bind("first")).execute()))
report.print(ray.get(log.all.remote())[-2:])

# Nodes inside of containers are references by then.
report.print(ray.get(total.bind([add.bind(1), add.bind(2)]).execute()))
report.print(ray.get(total.bind({"nodes": [add.bind(1), add.bind(5)]}).execute()))
report.print(ray.get(add.options(num_cpus=0.5, name="half").bind(1).execute()))
report.print(add.options(num_cpus=0.5, name="half").bind(1).get_options())
report.print(len(two.bind().execute()))
array = numpy.arange(100000)
report.print(ray.get(add.bind(array, ray.put(1)).execute()).sum() - array.sum())

# Inputs.
with InputNode() as dag_input:
    one = add.bind(dag_input, 10)
report.print(ray.get(one.execute(1)), ray.get(one.execute(5)))
with InputNode() as dag_input:
    several = add.bind(dag_input[0], dag_input.x, more=dag_input["more"])
    report.print(type(dag_input[0]).__name__, dag_input[0].key, dag_input.x.key)
    report.print(isinstance(dag_input.x, InputAttributeNode), dag_input[0] is dag_input[0])
report.print(ray.get(several.execute(1, x=2, more=3)))


class Both:
    x = 20

    def __getitem__(self, key):
        return {0: 1, "more": 300}[key]


report.print(ray.get(several.execute(Both())))
with InputNode() as dag_input:
    by_index = add.bind(dag_input[0], dag_input[1])
report.print(ray.get(by_index.execute([3, 4])), ray.get(by_index.execute(5, 6)))
report.print(DAGInputData(1, 2, a=3)[1], DAGInputData(1, 2, a=3)["a"])
report.show("a float", lambda: DAGInputData(1)[1.5])
report.show("no such input", lambda: ray.get(by_index.execute([3])))
with InputNode(input_type=int) as typed:
    pass
report.print(typed.get_result_type())
with InputNode(input_type={0: int, "a": str}) as typed:
    report.print(typed[0].get_result_type(), typed["a"].get_result_type(), typed["b"].get_result_type())
with InputNode() as again:
    both = MultiOutputNode((add.bind(again), again, again[0], 5))
outputs = both.execute([1])
report.print([type(value).__name__ for value in outputs], outputs[1:])

# Walks.
found = []
add.bind(add.bind(1), add.bind(2)).apply_recursive(lambda node: found.append(type(node).__name__) or 0)
report.print(found)
child = add.bind(1)
parent = add.bind(child, [child])
report.print(len(parent._get_toplevel_child_nodes()), len(parent._get_all_child_nodes()))
report.print(parent.get_stable_uuid() == parent.get_stable_uuid(), len(parent.get_stable_uuid()))
parent = add.bind(child)
parent.execute(_ray_cache_refs=True)
report.print(sorted(type(value).__name__ for value in parent.cache_from_last_execute.values()))

# What is refused.
report.show("bind twice", lambda: node.bind(1))
report.show("remote", lambda: node.remote(1))
report.show("attribute", lambda: node.no_such)
report.show("input arguments", lambda: InputNode(1))
report.show("input without with", lambda: add.bind(InputNode()).execute(1))
report.show("outputs", lambda: MultiOutputNode(node))
report.show("float key", lambda: dag_input[1.5])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    add.bind(1).execute()
report.print([(warning.category.__name__, str(warning.message)) for warning in caught if "execute" in str(warning.message)])


def with_input():
    with InputNode() as inside:
        return inside


report.show("two inputs", lambda: add.bind(with_input(), with_input()).execute(1))


@ray.remote
def fails(value):
    raise ValueError(f"no {value}")


report.show("error", lambda: ray.get(add.bind(fails.bind(1)).execute()))
report.end()
