# SPDX-License-Identifier: Apache-2.0
"""A cluster of several nodes on this machine, for tests."""
import os
import time

cluster_not_supported = os.name == "nt"

_DEFAULTS = {
    "num_cpus": 1,
    "num_gpus": 0,
    "resources": None,
    "labels": None,
    "object_store_memory": 150 * 1024 * 1024,
    "include_dashboard": False,
    "dashboard_host": "127.0.0.1",
    "dashboard_port": None,
}


class _Node:
    """One raylet; the head has gcs beside it."""

    def __init__(self, cluster, daemon, said, head):
        self._cluster = cluster
        self._daemon = daemon
        self.head = head
        self.unique_id = self.node_id = said["node_id"]
        self.raylet_socket_name = said["socket"]
        self.gcs_address = self.address = cluster.gcs_address
        self.node_ip_address = cluster.node_ip
        self._session_dir = cluster.session_dir

    def get_session_dir_path(self):
        return self._session_dir

    def any_processes_alive(self):
        return not self._daemon.ended()

    def kill_raylet(self, check_alive=True):
        import signal

        if check_alive and self._daemon.ended():
            raise ValueError("The raylet has ended already.")
        self._daemon.signal(signal.SIGKILL)
        _until(self._daemon.ended, 30)


def _until(condition, timeout):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Cluster:
    """Nodes are added and removed one by one; the first is the head."""

    def __init__(
        self, initialize_head=False, connect=False, head_node_args=None, shutdown_at_exit=True
    ):
        self.head_node = None
        self.worker_nodes = set()
        self.connected = False
        self._daemons = None
        if not initialize_head and connect:
            raise RuntimeError("Cannot connect to uninitialized cluster.")
        if shutdown_at_exit:
            import atexit

            atexit.register(self.shutdown)
        if initialize_head:
            self.add_node(**(head_node_args or {}))
            if connect:
                self.connect()

    @property
    def gcs_address(self):
        return self.head_node and self.head_node.gcs_address

    @property
    def address(self):
        return self.gcs_address

    def connect(self, namespace=None):
        """ray.init() of this process to the cluster."""
        import ray

        assert self.address is not None
        assert not self.connected
        ray.init(address=self.address, namespace=namespace, ignore_reinit_error=True)
        self.connected = True

    def add_node(self, wait=True, **node_args):
        """Starts a node, the head if there is none yet; its arguments are those of ray.init()."""
        from ray._private.cluster import LocalCluster

        options = {**_DEFAULTS, **node_args}
        if self.head_node is None:
            self._daemons = LocalCluster(options, os.environ.get("RAY_AUTH_TOKEN"))
            node = _Node(
                self._daemons, self._daemons.raylet_daemon, self._daemons.raylet, head=True
            )
            self.head_node = node
        else:
            daemon, said = self._daemons.add_raylet(options)
            node = _Node(self._daemons, daemon, said, head=False)
            self.worker_nodes.add(node)
        if wait and self.connected:
            self._wait_for_node(node)
        return node

    def remove_node(self, node, allow_graceful=True):
        """Ends the node: with a goodbye, or by SIGKILL."""
        import signal

        import ray
        from ray import _mobula

        if (
            _mobula.is_connected()
            and _mobula.info()["raylet_socket"] == node.raylet_socket_name
        ):
            ray.shutdown()
            raise ValueError(
                "Removing a node that is connected to this Ray client "
                "is not allowed because it will break the driver. "
                "You can use the get_other_node utility to avoid removing "
                "a node that the Ray client is connected."
            )
        if node is self.head_node and self.worker_nodes:
            raise ValueError("Removing the head before its workers ends the cluster.")
        node._daemon.signal(signal.SIGTERM if allow_graceful else signal.SIGKILL)
        if not _until(node._daemon.ended, 10):
            node._daemon.signal(signal.SIGKILL)
            _until(node._daemon.ended, 10)
        if node is self.head_node:
            self.head_node = None
        else:
            self.worker_nodes.remove(node)

    def _wait_for_node(self, node, timeout=30):
        import ray

        def alive():
            return any(n["NodeID"] == node.node_id and n["Alive"] for n in ray.nodes())

        if not _until(alive, timeout):
            raise TimeoutError("Timed out while waiting for nodes to join.")

    def wait_for_nodes(self, timeout=30):
        """Until gcs sees as many live nodes as there are here."""
        import ray

        if not self.connected and not ray.is_initialized():
            return
        wanted = len(self.list_all_nodes())
        if not _until(lambda: sum(n["Alive"] for n in ray.nodes()) == wanted, timeout):
            raise TimeoutError("Timed out while waiting for nodes to join.")

    def list_all_nodes(self):
        return ([self.head_node] if self.head_node else []) + list(self.worker_nodes)

    def remaining_processes_alive(self):
        return all(node.any_processes_alive() for node in self.list_all_nodes())

    def shutdown(self):
        """Ends all nodes. Twice does no harm."""
        import ray

        if self.connected:
            ray.shutdown()
            self.connected = False
        if self._daemons:
            self._daemons.stop(wait=True)
        self._daemons = self.head_node = None
        self.worker_nodes = set()
