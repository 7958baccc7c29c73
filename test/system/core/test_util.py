# SPDX-License-Identifier: Apache-2.0
"""What is built on tasks and actors: the pool of processes, the user's metrics."""


def test_pool(ray):
    out = ray.run(
        """
        import ray
        from ray.util.multiprocessing import Pool

        ray.init(num_cpus=2)

        def fails(x):
            if x == 2:
                raise ValueError("two")
            return x

        with Pool(2) as pool:
            print(pool.map(abs, range(-3, 3)), pool.starmap(pow, [(2, 3), (3, 2)]))
            print(pool.apply(divmod, (7, 2)), list(pool.imap(abs, [-1, -2], chunksize=2)))
            print(sorted(pool.imap_unordered(abs, range(-5, 0))))
            try:
                pool.map(fails, range(4))
            except ValueError as e:
                print(e)
            late = pool.apply_async(abs, (-1,))
            late.wait()
            print(late.ready(), late.successful(), late.get())
        try:
            pool.map(abs, [1])
        except ValueError as e:
            print(e)
        """
    )
    assert out.splitlines() == [
        "[3, 2, 1, 0, 1, 2] [8, 9]",
        "(3, 1) [1, 2]",
        "[1, 2, 3, 4, 5]",
        "two",
        "True True 1",
        "Pool not running",
    ]


def test_state(ray):
    out = ray.run(
        """
        import ray
        from ray.util import state

        ray.init(num_cpus=2)

        @ray.remote(num_cpus=0)
        class A:
            def ready(self):
                return ray.get_runtime_context().get_actor_id()

        actors = [A.options(name=f"a{i}").remote() for i in range(3)]
        ids = ray.get([actor.ready.remote() for actor in actors])
        ray.kill(actors[2])
        while state.get_actor(ids[2]).state != "DEAD":
            pass
        alive = state.list_actors(filters=[("state", "=", "alive")])
        print(sorted(actor.name for actor in alive), alive[0]["class_name"])
        print(len(state.list_actors()), len(state.list_actors(limit=1)), state.get_actor("00"))
        print([a.name for a in state.list_actors(filters=[("state", "!=", "ALIVE")])])
        print(state.summarize_actors()["cluster"]["summary"]["A"]["state_counts"] == {"ALIVE": 2, "DEAD": 1})
        node, = state.list_nodes(detail=True)
        print(node.state, node.is_head_node, node.resources_total["CPU"])
        pg = ray.util.placement_group([{"CPU": 1}], name="g")
        pg.wait(10)
        group, = state.list_placement_groups(detail=True)
        print(group.name, group.state, group.bundles[0]["unit_resources"], group.is_detached)
        try:
            state.list_actors(filters=[("state", "<", "x")])
        except ValueError as e:
            print(e)
        """
    )
    assert out.splitlines() == [
        "['a0', 'a1'] A",
        "3 1 None",
        "['a2']",
        "True",
        "ALIVE True 2.0",
        "g CREATED {'CPU': 1.0} False",
        "Unsupported filter predicate < is given. Available predicates: =, !=.",
    ]
