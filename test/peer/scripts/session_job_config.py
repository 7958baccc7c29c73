# SPDX-License-Identifier: Apache-2.0
import json
import os

import ray
from _show import show

KEY = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def start(outer, inner, **more):
    os.environ[KEY] = json.dumps(outer)
    try:
        ray.init(num_cpus=1, log_to_driver=False, runtime_env=inner, **more)

        @ray.remote
        def env():
            return os.environ.get("A"), os.environ.get("B")

        return ray.get(env.remote()), sorted((ray.get_runtime_context().runtime_env.get("env_vars") or {}).items())
    finally:
        ray.shutdown()
        del os.environ[KEY]


one, two = {"env_vars": {"A": "1"}}, {"env_vars": {"B": "2"}}
show("outer only", lambda: start({"runtime_env": one}, None))
show("both", lambda: start({"runtime_env": one}, two))
show("the same key", lambda: start({"runtime_env": one}, {"env_vars": {"A": "3"}}))
show("the same key and value", lambda: start({"runtime_env": one}, {"env_vars": {"A": "1"}}))
show("the same field", lambda: start({"runtime_env": {"config": {"setup_timeout_seconds": 5}}}, {"config": {"setup_timeout_seconds": 6}}))
show("metadata", lambda: start({"runtime_env": one, "metadata": {"k": "v"}}, None))
os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"
show("the driver's first", lambda: start({"runtime_env": one}, {"env_vars": {"A": "3", "B": "4"}}))
