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


def actors(actor_id=None):
    """{id: facts} of all actors, or the facts of one."""
    table = {}
    for actor in _mobula.actors(False, True, None):
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
