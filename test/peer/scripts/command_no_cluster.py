# SPDX-License-Identifier: Apache-2.0
"""Commands where no cluster runs."""
from _command import command

for line in (
    "status",
    "list nodes",
    "get nodes a",
    "summary tasks",
    "memory",
    "timeline",
    "health-check",
    "job list",
    "job status a",
    "job logs a",
):
    command(*line.split(), RAY_ADDRESS=None)
nobody = "http://127.0.0.1:1"
for line in ("list", "status a", "logs a", "stop a", "delete a", "submit -- true"):
    words = line.split()
    command("job", words[0], "--address", nobody, *words[1:])
command("list", "nodes", "--address", nobody, texts=False)
command("summary", "tasks", "--address", nobody, texts=False)
command("job", "list", RAY_API_SERVER_ADDRESS=nobody)
command("job", "list", RAY_ADDRESS=nobody)
command("job", "list", "--address", "nonsense://a")
