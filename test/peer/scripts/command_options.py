# SPDX-License-Identifier: Apache-2.0
"""The options of Ray's commands: --help of each names them all."""
import re
import subprocess

OPTIONS = {
    "get": "--address --timeout",
    "get-auth-token": "--generate",
    "health-check": "--address --component --skip-version-check",
    "job delete": "--address --headers --log-color --log-style --verbose --verify -v",
    "job list": "--address --headers --log-color --log-style --verbose --verify -v",
    "job logs": "--address --follow --headers --log-color --log-style --verbose --verify -f -v",
    "job status": "--address --headers --log-color --log-style --verbose --verify -v",
    "job stop": "--address --headers --log-color --log-style --no-wait --verbose --verify -v",
    "job submit": (
        "--address --entrypoint-label-selector --entrypoint-memory --entrypoint-num-cpus "
        "--entrypoint-num-gpus --entrypoint-resources --headers --job-id --log-color --log-style "
        "--metadata-json --no-wait --runtime-env --runtime-env-json --submission-id --verbose --verify "
        "--working-dir -v"
    ),
    "list": "--address --detail --filter --format --limit --timeout -f",
    "logs actor": "--address --err --follow --id --node-id --node-ip --pid --tail --timeout -a -f",
    "logs cluster": "--address --encoding --encoding-errors --follow --node-id --node-ip --tail --timeout -f",
    "logs job": "--address --follow --id --tail --timeout -f",
    "logs task": "--address --attempt-number --err --follow --id --tail --timeout -a -f",
    "logs worker": "--address --err --follow --node-id --node-ip --pid --tail --timeout -f",
    "memory": "--address --group-by --n --no-format --num-entries --sort-by --stats-only --units",
    "start": (
        "--address --autoscaling-config --block --cgroup-path --dashboard-agent-grpc-port "
        "--dashboard-agent-listen-port --dashboard-host --dashboard-port --disable-usage-stats "
        "--enable-resource-isolation --head --include-dashboard --include-log-monitor --log-color --log-style "
        "--max-worker-port --metrics-export-port --min-worker-port --no-redirect-output --node-ip-address "
        "--node-manager-port --num-cpus --num-gpus --object-manager-port --object-spilling-directory "
        "--object-store-memory --plasma-directory --port --proxy-server-url --ray-client-server-port "
        "--ray-debugger-external --resources --runtime-env-agent-port --system-reserved-cpu "
        "--system-reserved-memory --temp-dir --verbose --worker-port-list -v"
    ),
    "status": "--address",
    "stop": "--force --grace-period --log-color --log-style --verbose -f -g -v",
    "summary actors": "--address --timeout",
    "summary objects": "--address --timeout",
    "summary tasks": "--address --timeout",
    "timeline": "--address",
}
for name, options in OPTIONS.items():
    done = subprocess.run(["ray", *name.split(), "--help"], stdout=subprocess.PIPE, text=True)
    told = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", done.stdout))
    first = done.stdout.splitlines()[0].split(" [OPTIONS]")[0]
    print(first, done.returncode, sorted(set(options.split()) - told))
