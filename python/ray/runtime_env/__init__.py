# SPDX-License-Identifier: Apache-2.0
"""Runtime environments as objects: dicts that were checked."""
import json

from ray._private.runtime_env import check


class RuntimeEnvConfig(dict):
    """How an environment is set up, beside what it is."""

    def __init__(self, setup_timeout_seconds=600, eager_install=True, log_files=None):
        if not isinstance(setup_timeout_seconds, int):
            raise TypeError(
                "setup_timeout_seconds must be of type int, "
                f"got {type(setup_timeout_seconds)} instead."
            )
        if setup_timeout_seconds <= 0 and setup_timeout_seconds != -1:
            raise ValueError(
                "setup_timeout_seconds must be greater than zero "
                f"or equals to -1, got {setup_timeout_seconds}."
            )
        super().__init__(
            setup_timeout_seconds=setup_timeout_seconds, eager_install=eager_install
        )
        if log_files is not None:
            self["log_files"] = log_files


class RuntimeEnv(dict):
    """A runtime environment: `ray.init(runtime_env=RuntimeEnv(pip=["requests"]))`."""

    def __init__(
        self,
        *,
        py_modules=None,
        py_executable=None,
        working_dir=None,
        pip=None,
        conda=None,
        container=None,
        env_vars=None,
        worker_process_setup_hook=None,
        config=None,
        _validate=True,
        image_uri=None,
        uv=None,
        **kwargs,
    ):
        given = dict(locals())
        for name in ("self", "_validate", "kwargs", "__class__"):
            given.pop(name, None)
        super().__init__({k: v for k, v in {**given, **kwargs}.items() if v is not None})
        if _validate:
            check(self)

    def to_dict(self):
        return dict(self)

    def serialize(self):
        return json.dumps(self, sort_keys=True)

    @classmethod
    def deserialize(cls, text):
        return cls(_validate=False, **json.loads(text))

    def has_working_dir(self):
        return self.get("working_dir") is not None

    def working_dir(self):
        return self.get("working_dir")

    def env_vars(self):
        return self.get("env_vars", {})
