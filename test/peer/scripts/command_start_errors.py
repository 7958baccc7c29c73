# SPDX-License-Identifier: Apache-2.0
"""`ray start` with values that make no sense: nothing is started."""
import os

from _command import command

file = os.path.join(os.environ["RAY_TMPDIR"], "labels.yaml")
with open(file, "w") as out:
    out.write("- a\n")
# What Ray says of these has unfilled places.
for words in (
    [],
    ["--address", "127.0.0.1:1", "--port", "5"],
    ["--address", "127.0.0.1:1", "--include-dashboard", "true"],
    ["--head", "--resources", "{"],
    ["--head", "--resources", "[1]"],
    ["--head", "--labels", "a"],
    ["--head", "--labels", "a=!!"],
    ["--head", "--labels-file", "/no/such/file"],
    ["--head", "--labels-file", file],
):
    command("start", *words, replaced={file: "FILE"}, texts=False)
for words in (
    ["--head", "--num-cpus", "x"],
    ["--head", "--num-cpus", "1.5"],
    ["--head", "--num-gpus", "x"],
    ["--head", "--memory", "1G"],
    ["--head", "--object-store-memory", "1G"],
    ["--head", "--dashboard-port", "x"],
    ["--head", "--min-worker-port", "5"],
    ["--head", "--min-worker-port", "70000"],
    ["--head", "--max-worker-port", "5"],
    ["--head", "--max-worker-port", "5000"],
    ["--head", "--min-worker-port", "30000"],
    ["--head", "--worker-port-list", "80"],
    ["--head", "--ray-client-server-port", "5"],
    ["--head", "--runtime-env-agent-port", "5"],
    ["--head", "--temp-dir", "relative"],
    ["--head", "--log-style", "loud"],
    ["--head", "--block=yes"],
    ["--qqqq"],
    ["--port"],
    ["extra"],
):
    command("start", *words)
