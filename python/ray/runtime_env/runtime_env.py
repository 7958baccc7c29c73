# SPDX-License-Identifier: Apache-2.0
"""Under the name of Ray's module."""
from ray.runtime_env import RuntimeEnv, RuntimeEnvConfig  # noqa: F401
