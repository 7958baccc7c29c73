# SPDX-License-Identifier: Apache-2.0
import ray
from _show import show

import os

for label, arguments in [
    ("unknown", dict(foo=1, bar=2)),
    ("local mode", dict(local_mode=True)),
    ("storage", dict(storage="x")),
    ("bad address", dict(address="nonsense")),
    ("multiple", dict(allow_multiple=True)),
    ("env_vars", dict(runtime_env={"env_vars": {"A": 1}})),
    ("env_vars list", dict(runtime_env={"env_vars": ["A"]})),
]:
    show(label, lambda: ray.init(**arguments) and None)
    ray.shutdown()
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
