# SPDX-License-Identifier: Apache-2.0
"""Commands with tokens: missing, wrong, right."""
import os
import re
import tempfile

TOKEN = "the-right-token-of-this-cluster-0123456789"
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = TOKEN
os.environ["HOME"] = tempfile.mkdtemp()
import ray
from _command import command

session = ray.init(num_cpus=1, log_to_driver=False, include_dashboard=True)
gcs = session.address_info["gcs_address"]
url = f"http://{session.dashboard_url}"
path = os.path.join(os.environ["HOME"], "token")
empty = os.path.join(os.environ["HOME"], "empty")
names = {url: "URL", session.dashboard_url: "DASHBOARD", gcs: "GCS", os.environ["HOME"]: "HOME",
         os.environ["RAY_TMPDIR"]: "TMP"}
with open(path, "w") as file:
    file.write(TOKEN + "\n")
open(empty, "w").close()
CASES = {
    "right": {},
    "from a file": {"RAY_AUTH_TOKEN": None, "RAY_AUTH_TOKEN_PATH": path},
    "wrong": {"RAY_AUTH_TOKEN": "another-one-that-is-not-right-0123456789"},
    "none": {"RAY_AUTH_TOKEN": None},
    "an empty one": {"RAY_AUTH_TOKEN": ""},
    "an absent file": {"RAY_AUTH_TOKEN": None, "RAY_AUTH_TOKEN_PATH": path + "x"},
    "an empty file": {"RAY_AUTH_TOKEN": None, "RAY_AUTH_TOKEN_PATH": empty},
    "disabled": {"RAY_AUTH_MODE": "disabled"},
}


def check(*words, **changes):
    """The status, and of what is wrong its class; the sentence is each ray's own."""
    done = command(*words, replaced=names, texts=False, **changes)
    print("   ", re.findall(r"^[\w.]+Error(?=: )", done.stderr, re.MULTILINE)[-1:])


print("=== begin")
for label, changes in CASES.items():
    print("---", label)
    check("job", "list", "--address", url, **changes)
    command("health-check", "--address", gcs, replaced=names, texts=False, **changes)
    check("list", "nodes", "--address", url, **changes)
    if label not in ("right", "from a file"):
        check("start", "--address", gcs, **changes)
    command("get-auth-token", replaced=names, texts="file" not in label, **changes)
for label in ("none", "an empty one", "an absent file", "an empty file"):
    print("--- a head:", label)
    check("start", "--head", "--port=0", "--include-dashboard=false", **CASES[label])
print("=== end")
