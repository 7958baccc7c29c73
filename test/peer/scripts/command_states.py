# SPDX-License-Identifier: Apache-2.0
"""`ray list`, `ray get`, `ray summary`, `ray logs`: filters, ids and limits that are wrong."""
import os

import ray
from _command import command

session = ray.init(num_cpus=2, include_dashboard=True, log_to_driver=False)
names = {f"http://{session.dashboard_url}": "URL", session.dashboard_url: "DASHBOARD",
         session.address_info["gcs_address"]: "GCS", os.environ["RAY_TMPDIR"]: "TMP"}
os.environ["RAY_ADDRESS"] = session.address_info["gcs_address"]


@ray.remote
class Actor:
    def ready(self):
        return True


actor = Actor.options(name="one").remote()
ray.get(actor.ready.remote())
print("=== begin")
for line in (
    "list tasks --filter nonsense",
    "list tasks --filter a=b=c",
    "list tasks --filter nonsense=1",
    "list actors --filter name",
    "list actors --filter state<ALIVE",
    "list actors --filter state=NONSENSE",
    "list actors --filter NAME=two",
    "list actors --filter name!=one --format json",
    "list actors --limit 0",
    "list actors --limit 100000",
    "list actors --timeout x",
    "list actors --filter pid=x",
    "list placement-groups",
    "list placement-groups --format yaml",
    "list placement-groups --format json",
    "list runtime-envs",
    "get actors " + 8 * "0123",
    "get nodes " + 14 * "0123",
    "get tasks " + 12 * "0123",
    "get workers 0123",
    "get placement-groups 0123",
    "get objects 0123",
    "logs nonsense",
    "logs cluster nonsense",
    "logs actor --id " + 8 * "0123",
    "logs worker --pid 1",
    "logs worker",
    "logs job --id nonsense",
    "logs task --id " + 12 * "0123",
    "list tasks --filter state=NONSENSE",
    "list nodes --filter state=NONSENSE",
    "logs raylet.out --tail x",
):
    command(*line.split(), replaced=names)
print("=== end")
