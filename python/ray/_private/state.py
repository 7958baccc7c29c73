# SPDX-License-Identifier: Apache-2.0
"""The cluster's tables, as libraries and tools ask for them."""
from ray import _mobula

_NODE_STATES = {0: "ALIVE", 1: "DEAD", 2: "ALIVE"}  # a draining node is alive
_ACTOR_STATES = ("DEPENDENCIES_UNREADY", "PENDING_CREATION", "ALIVE", "RESTARTING", "DEAD")


def _port(address):
    _, _, port = address.rpartition(":")
    return int(port) if port.isdigit() else 0


def node_table():
    """ray.nodes()."""
    return [_node(node) for node in _mobula.nodes()]


def _node(node):
    alive = node["state"] != 1
    port = _port(node["address"])
    return {
        "NodeID": node["node_id"].hex(),
        "Alive": alive,
        "NodeManagerAddress": node["ip"],
        "NodeManagerHostname": node["hostname"],
        "NodeManagerPort": port,
        "ObjectManagerPort": port,
        "ObjectStoreSocketName": node["raylet_socket"],
        "RayletSocketName": node["raylet_socket"],
        "MetricsExportPort": node["metrics_port"],
        "MetricsAgentPort": node["metrics_port"],
        "DashboardAgentListenPort": node["agent_port"],
        "NodeName": node["name"],
        "RuntimeEnvAgentPort": port,
        "DeathReason": 0 if alive else 1,
        "DeathReasonMessage": node["death_reason"],
        "alive": alive,
        "Resources": node["total"] if alive else {},
        "Labels": node["labels"],
    }


def actors(actor_id=None, job_id=None, actor_state_name=None):
    """{id: facts} of all actors, or of those of a job (JobID), or in a state; or the facts of one."""
    if actor_state_name is not None and actor_state_name not in _ACTOR_STATES:
        raise ValueError(
            f'"{actor_state_name}" is not a valid actor state name. Valid ones are {_ACTOR_STATES}.'
        )
    table = {}
    for actor in _mobula.actors(False, True, None):
        if job_id is not None and actor["job_id"] != job_id:
            continue
        if actor_state_name not in (None, _ACTOR_STATES[actor["state"]]):
            continue
        table[actor["actor_id"].hex()] = {
            "ActorID": actor["actor_id"].hex(),
            "ActorClassName": actor["class_name"],
            "IsDetached": actor["detached"],
            "Name": actor["name"],
            "JobID": actor["job_id"].hex(),
            "Address": {"IPAddress": actor["ip"], "NodeID": actor["node_id"].hex()},
            "State": _ACTOR_STATES[actor["state"]],
            "NumRestarts": actor["restarts"],
            "Pid": actor["pid"],
            "DeathCause": actor["death_text"],
        }
    return table if actor_id is None else table.get(actor_id)


def _per_node(which):
    return {
        node["node_id"].hex(): node[which] for node in _mobula.nodes() if node["state"] != 1
    }


def available_resources_per_node():
    return _per_node("available")


def total_resources_per_node():
    return _per_node("total")


def node_ids():
    """The resource names that stand for nodes."""
    return [
        name
        for resources in _per_node("total").values()
        for name in resources
        if name.startswith("node:") and name != "node:__internal_head__"
    ]


def nodes():
    """ray.nodes()."""
    return node_table()


def _from_worker(name):
    def call(*args, **kwargs):
        from ray._private import worker

        return getattr(worker, name)(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"ray.{name}()."
    return call


available_resources = _from_worker("available_resources")
cluster_resources = _from_worker("cluster_resources")
timeline = _from_worker("timeline")


def current_node_id():
    """The resource name that stands for this node."""
    return "node:" + _mobula.info()["node_ip"]
