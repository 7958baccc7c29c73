# SPDX-License-Identifier: Apache-2.0
"""What pods find on the node agent's nodes: services by nftables and by iptables, files that follow
their objects, claims, the eviction of pods from a node that is lost."""
import json
import os
import re
import signal
import subprocess
import textwrap

import pytest

from conftest import BUILD, Kubectl, wait_for

pytestmark = pytest.mark.embedded

ASK = textwrap.dedent("""
    import socket, struct, re
    server = re.search(r"nameserver (\\S+)", open("/etc/resolv.conf").read())[1]
    name = b"".join(bytes([len(p)]) + p.encode() for p in "web.default.svc.cluster.local".split("."))
    query = struct.pack(">HHHHHH", 1, 256, 1, 0, 0, 0) + name + b"\\0" + struct.pack(">HH", 1, 1)
    peer = socket.create_connection((server, 53), 5)
    peer.sendall(struct.pack(">H", len(query)) + query)
    print(socket.inet_ntoa(peer.recv(512)[-4:]))
""")


def pod(name, *command, labels=None, **more):
    spec = {"terminationGracePeriodSeconds": 1, **more.pop("spec", {}),
            "containers": [{"name": "c", "image": "local/none:1", "command": list(command), **more}]}
    return {"apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": {"name": name, "labels": labels or {}}}


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": "web"}, **spec}}


PORTS = [{"name": "a", "port": 80, "targetPort": "http", "nodePort": 30123}]
OBJECTS = [
    pod("server", "python3", "-m", "http.server", "8000", labels={"app": "web"},
        ports=[{"name": "http", "containerPort": 8000}]),
    pod("client", "sleep", "1000"),
    service("web", type="NodePort", ports=PORTS),
    service("direct", clusterIP="None", ports=[{"port": 80, "targetPort": "http"}]),
]


class Node(Kubectl):
    """`mobula run --keep` and kubectl for it."""

    def __init__(self, folder, objects, *around):
        self.env = {**os.environ, "MOBULA_RUN_DIR": str(folder / "run")}
        self.state = folder / "run" / "node-agent"
        (folder / "objects.json").write_text(
            json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        up = subprocess.run([*around, BUILD / "bin/mobula", "run", "--keep",
                             folder / "objects.json"], env=self.env, capture_output=True,
                            text=True, timeout=60)
        said = re.search(r"export KUBECONFIG=(\S+)", up.stdout + up.stderr)
        assert up.returncode == 0 and said, up.stdout + up.stderr
        super().__init__(said[1])

    def down(self):
        subprocess.run([BUILD / "bin/mobula", "down"], env=self.env, check=True, timeout=60)

    def status_of(self, url, within=None):
        """What curl gets, on this machine or within a pod."""
        command = ["curl", "-s", "-m", "5", "--noproxy", "*", "-o", "/dev/null", "-w",
                   "%{http_code}", url]
        done = (self.run("exec", within, "--", *command, check=False) if within else
                subprocess.run(command, capture_output=True, text=True,
                               env={**os.environ, "LD_PRELOAD": ""}))  # curl hangs under ASan
        return done.stdout


def skip_without_rights():
    if os.environ.get("KUBECONFIG"):
        pytest.skip("about the embedded Kubernetes only")
    if os.geteuid() != 0:
        pytest.skip("node-agent: needs root to make a bridge")


def rules_of(node):
    """The packet rules that carry the tag of the node's agent."""
    value = 2166136261
    for byte in str(node.state).encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    found = ""
    for command in (["nft", "list", "tables"], ["iptables-save"]):
        found += subprocess.run(command, capture_output=True, text=True).stdout
    return [line for line in found.splitlines() if f"mobula_{value:08x}" in line]


@pytest.mark.parametrize("program", ["nft", "iptables"])
def test_services(tmp_path, program):
    skip_without_rights()
    without_nft = "mount --bind /bin/false $(command -v nft); exec \"$@\""
    around = ["unshare", "-m", "sh", "-c", without_nft, "-"] if program == "iptables" else []
    node = Node(tmp_path, OBJECTS, *around)
    try:
        node("wait", "pod", "--all", "--for=condition=Ready", "--timeout=30s")
        assert any(line.startswith("-A") for line in rules_of(node)) == (program == "iptables")
        address = node.json("get", "service", "web")["spec"]["clusterIP"]
        host = node.json("get", "pod", "client")["status"]["hostIP"]
        wait_for(lambda: node.status_of("http://web", "client") == "200", what="the service")
        asked = {url: node.status_of(url, "client") for url in
                 ("http://web.default.svc.cluster.local", f"http://{address}",
                  "http://direct:8000", f"http://{host}:30123")}
        assert set(asked.values()) == {"200"}, asked
        assert node.status_of(f"http://{address}", "server") == "200"  # itself
        here = {url: node.status_of(url) for url in
                (f"http://{address}", f"http://{host}:30123", "http://127.0.0.1:30123")}
        assert set(here.values()) == {"200"}, here
        assert node("exec", "client", "--", "python3", "-c", ASK).strip() == address
        node("delete", "pod", "server")
        assert node.status_of("http://web", "client") == "000"  # refused, not waited for
    finally:
        node.down()
    assert rules_of(node) == []


FILES = pod("files", "sleep", "1000", labels={"a": "1"}, volumeMounts=[
    {"name": name, "mountPath": f"/{name}"} for name in ("config", "labels", "both", "claim")],
    spec={"volumes": [
        {"name": "config", "configMap": {"name": "c"}},
        {"name": "labels", "downwardAPI": {"items": [
            {"path": "all", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "both", "projected": {"sources": [
            {"configMap": {"name": "c", "items": [{"key": "k", "path": "x/y"}]}},
            {"secret": {"name": "none", "optional": True}}]}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}}]})


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    skip_without_rights()
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"},
              "data": {"k": "old"}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
             "spec": {"accessModes": ["ReadWriteOnce"],
                      "resources": {"requests": {"storage": "1Gi"}}}}
    node = Node(tmp_path_factory.mktemp("node"), [config, claim, FILES])
    try:
        node("wait", "pod", "--all", "--for=condition=Ready", "--timeout=30s")
        yield node
    finally:
        node.down()


def test_files_follow_their_objects(node):
    def read(path):
        return node("exec", "files", "--", "cat", path)

    assert (read("/config/k"), read("/both/x/y"), read("/labels/all")) == ("old", "old", 'a="1"')
    node("patch", "configmap", "c", "-p", '{"data": {"k": "new"}}')
    node("label", "pod", "files", "b=2")
    wait_for(lambda: (read("/config/k"), read("/both/x/y")) == ("new", "new"), what="the files")
    wait_for(lambda: read("/labels/all") == 'a="1"\nb="2"', what="the labels")


def test_the_folder_of_a_claim_goes_with_it(node):
    claims = node.state / "claims"
    node("exec", "files", "--", "touch", "/claim/f")
    folder, = claims.iterdir()
    assert (folder / "f").exists()
    node("delete", "pvc", "data", "--wait=false")
    node("exec", "files", "--", "cat", "/claim/f")  # as long as a pod has it
    node("delete", "pod", "files")
    wait_for(lambda: not list(claims.iterdir()), what="the folder to go")


@pytest.fixture
def losable(embedded, tmp_path):
    """kubectl for a server that misses a node after 2 s, and the node's agent."""
    skip_without_rights()
    server = embedded
    assert server.stop() == 0
    server.start("--node-monitor-grace-period", "2")
    command = [BUILD / "bin/mobula", "node-agent", "--kubeconfig", server.kubeconfig,
               "--state", tmp_path / "node", "--nodes", "1x2cpu,2Gi",
               "--token-file", server.state / "agent.token"]
    agent = subprocess.Popen(command, stderr=open(tmp_path / "agent.log", "ab"))
    try:
        yield Kubectl(server.kubeconfig), agent
    finally:
        agent.send_signal(signal.SIGCONT)
        agent.kill()
        agent.wait()
        subprocess.run([*command[:2], "--state", tmp_path / "node", "--purge"], check=True)


def ready_of(pod):
    return {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}.get("Ready")


def test_pods_leave_a_lost_node(losable):
    kubectl, agent = losable
    tolerations = [{"key": f"node.kubernetes.io/{key}", "operator": "Exists",
                    "effect": "NoExecute", "tolerationSeconds": 1}
                   for key in ("not-ready", "unreachable")]
    objects = [pod("stays", "sleep", "1000"),
               pod("leaves", "sleep", "1000", spec={"tolerations": tolerations})]
    kubectl("create", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl("wait", "pod", "--all", "--for=condition=Ready", "--timeout=30s")
    agent.send_signal(signal.SIGSTOP)
    wait_for(lambda: "deletionTimestamp" in kubectl.json("get", "pod", "leaves")["metadata"], 30,
             "the eviction")
    assert ready_of(kubectl.json("get", "pod", "stays")) == "False"
    assert "deletionTimestamp" not in kubectl.json("get", "pod", "stays")["metadata"]
    reasons = {e["reason"] for e in kubectl.json("get", "events")["items"]}
    assert {"TaintManagerEviction", "NodeNotReady"} <= reasons
    agent.send_signal(signal.SIGCONT)
    wait_for(lambda: ready_of(kubectl.json("get", "pod", "stays")) == "True", 30, "the node")
    wait_for(lambda: kubectl.run("get", "pod", "leaves", check=False).returncode, 30, "the end")


FILLS = "dd if=/dev/zero of=/d/f bs=1M; echo full; sleep 1000"


@pytest.fixture
def small_disk(tmp_path):
    """A cluster whose state, and so its pods' files, lies on a disk of 160 MiB."""
    if os.environ.get("KUBECONFIG"):
        pytest.skip("about the embedded Kubernetes only")
    if os.geteuid() != 0:
        pytest.skip("node-agent: needs root to make a bridge")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", disk], check=True)
    try:
        it = Node(disk, [pod("bystander", "sleep", "1000")])
        yield it
        it.down()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def evicted(node, name):
    status = node.json("get", "pod", name)["status"]
    return status.get("phase") == "Failed" and status.get("reason") == "Evicted" and status


def test_a_pod_that_fills_the_disk_is_evicted(small_disk):
    """The cluster lives on: room is kept for what the API server writes meanwhile."""
    node = small_disk
    node("apply", "-f", "-", stdin=json.dumps(pod(
        "fills", "sh", "-c", FILLS, volumeMounts=[{"name": "d", "mountPath": "/d"}],
        spec={"volumes": [{"name": "d", "emptyDir": {}}], "restartPolicy": "Never"})))
    for count in range(20):  # writes all along
        node("create", "configmap", f"m{count}", "--from-literal=a=" + 20000 * "x")
    status = wait_for(lambda: evicted(node, "fills"), what="the eviction")
    assert "The node was low on resource: ephemeral-storage." in status["message"]
    assert "Evicted" in node("get", "events", "--field-selector", "type=Warning")
    assert node.json("get", "pod", "bystander")["status"]["phase"] == "Running"
    node("create", "configmap", "after", "--from-literal=a=b")


def test_a_volume_beyond_its_limit_is_evicted(small_disk):
    node = small_disk
    node("apply", "-f", "-", stdin=json.dumps(pod(
        "large", "sh", "-c", "head -c 3000000 /dev/zero > /d/f; sleep 1000",
        volumeMounts=[{"name": "d", "mountPath": "/d"}],
        spec={"volumes": [{"name": "d", "emptyDir": {"sizeLimit": "1Mi"}}]})))
    status = wait_for(lambda: evicted(node, "large"), 30, what="the eviction")
    assert 'Usage of EmptyDir volume "d" exceeds the limit "1Mi"' in status["message"]
