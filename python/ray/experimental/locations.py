# SPDX-License-Identifier: Apache-2.0
"""Where objects are."""


def get_object_locations(obj_refs, timeout_ms=-1):
    """{reference: {"node_ids": [hex], "object_size": bytes or None, "did_spill": False}}.

    Small objects travel with their references and are on no node. Of an object that another process
    owns the owner is asked; GetTimeoutError when that takes longer than `timeout_ms` (-1: no limit).
    """
    import ray
    from ray import _mobula

    _check_initialized()
    others = [ref for ref in obj_refs if not _mobula.object_place(ref)[0]]
    if others:
        timeout = None if timeout_ms < 0 else timeout_ms / 1000
        ready, rest = ray.wait(
            list(dict.fromkeys(others)),
            num_returns=len(set(others)),
            timeout=timeout,
            fetch_local=False,
        )
        if rest:
            raise ray.exceptions.GetTimeoutError(
                "Get timed out: some object(s) not ready."
            )
    return get_local_object_locations(obj_refs)


def get_local_object_locations(obj_refs):
    """The same, as far as this process knows it without asking anybody."""
    from ray import _mobula

    _check_initialized()
    nodes = None
    locations = {}
    for ref in obj_refs:
        _, size, index = _mobula.object_place(ref)
        if index and nodes is None:
            nodes = {node["index"]: node["node_id"].hex() for node in _mobula.nodes()}
        node_ids = [nodes[index]] if index and index in nodes else []
        locations[ref] = {"node_ids": node_ids, "object_size": size, "did_spill": False}
    return locations


def _check_initialized():
    import ray

    if not ray.is_initialized():
        raise RuntimeError("Ray hasn't been initialized.")
