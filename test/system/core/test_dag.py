# SPDX-License-Identifier: Apache-2.0
"""Task graphs: what the scripts of test/peer don't show."""


def test_a_long_chain_and_a_wide_graph(ray):
    """No frame a node, and each node once."""
    assert ray.run("""
        import ray, warnings
        warnings.simplefilter("ignore")
        from ray.dag import InputNode, MultiOutputNode
        ray.init(num_cpus=2)

        @ray.remote
        def add(*values):
            return sum(values)

        with InputNode() as start:
            node = start
            for _ in range(2000):
                node = add.bind(node, 1)
        print(ray.get(node.execute(5)))
        layer = [add.bind(1), add.bind(2)]
        for _ in range(40):  # 2**40 paths
            layer = [add.bind(*layer), add.bind(*layer)]
        print(*ray.get(MultiOutputNode(layer).execute()))
    """) == f"2005\n{3 * 2**39} {3 * 2**39}\n"


def test_compiled_graphs_are_refused(ray):
    assert ray.run("""
        import ray
        from ray.dag import InputNode
        ray.init(num_cpus=1)

        @ray.remote
        class A:
            def m(self, x):
                return x

        with InputNode() as x:
            graph = A.remote().m.bind(x)
        try:
            graph.experimental_compile()
        except NotImplementedError as e:
            print(e)
    """) == ("Compiled graphs (DAGNode.experimental_compile) are not supported by Mobula yet. "
             "Call .execute() on the graph itself.\n")
