# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
import tempfile

os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = "the-right-token-of-this-cluster-0123456789"
os.environ["HOME"] = tempfile.mkdtemp()
import ray

OTHER = """
import ray
try:
    ray.init(address="{address}", log_to_driver=False, logging_level="error")
    print("in", ray.get(ray.remote(lambda: 5).remote()))
except BaseException as e:
    print([c.__name__ for c in type(e).__mro__][:-2])
    print(str(e).splitlines()[0])
"""
ray.init(num_cpus=1, log_to_driver=False, include_dashboard=False)
address = ray.get_runtime_context().gcs_address


def other(label, **changes):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")}
    environment.update(changes)
    answer = subprocess.run(
        [sys.executable, "-c", OTHER.format(address=address)], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    print(label)
    for line in answer.stdout.splitlines():
        print("   ", line.replace(address, "ADDRESS").replace(path, "PATH"))


path = os.path.join(os.environ["HOME"], "token")
with open(path, "w") as file:
    file.write(os.environ["RAY_AUTH_TOKEN"] + "\n")
print(ray.get(ray.remote(lambda: 1).remote()))
other("the token", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=os.environ["RAY_AUTH_TOKEN"])
other("the token's file", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=path)
other("another", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="another-one-that-is-not-right-0123456789")
other("none, but the mode", RAY_AUTH_MODE="token")
other("an absent file", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=path + "x")
other("no mode", RAY_AUTH_MODE="disabled")
other("a mode that is none", RAY_AUTH_MODE="sometimes")
os.makedirs(os.path.join(os.environ["HOME"], ".ray"))
os.rename(path, os.path.join(os.environ["HOME"], ".ray", "auth_token"))
other("the default file", RAY_AUTH_MODE="token")
