# SPDX-License-Identifier: Apache-2.0
"""What a driver can say of its job beforehand: `ray.init(job_config=...)`."""


class JobConfig:
    """Paths of code, a runtime environment, metadata, a namespace, the lifetime of its actors."""

    def __init__(
        self,
        jvm_options=None,
        code_search_path=None,
        runtime_env=None,
        _client_job=False,
        metadata=None,
        ray_namespace=None,
        default_actor_lifetime="non_detached",
        _disable_job_level_lineage_reconstruction=False,
        _py_driver_sys_path=None,
    ):
        code_search_path = code_search_path or []
        if not isinstance(code_search_path, (list, tuple)):
            raise TypeError(f"The type of code search path is incorrect: {type(code_search_path)}")
        self.jvm_options = jvm_options or []
        self.code_search_path = code_search_path
        self.metadata = metadata or {}
        self.ray_namespace = ray_namespace
        self._client_job = _client_job
        self._disable_job_level_lineage_reconstruction = _disable_job_level_lineage_reconstruction
        self._py_driver_sys_path = _py_driver_sys_path or []
        self.py_logging_config = None
        self.set_runtime_env(runtime_env)
        self.set_default_actor_lifetime(default_actor_lifetime)

    def set_metadata(self, key, value):
        self.metadata[key] = value

    def set_runtime_env(self, runtime_env, validate=False):
        self.runtime_env = runtime_env if runtime_env is not None else {}
        if validate:
            from ray._private.runtime_env import check

            check(self.runtime_env)

    def set_ray_namespace(self, ray_namespace):
        self.ray_namespace = ray_namespace

    def set_py_logging_config(self, logging_config=None):
        self.py_logging_config = logging_config

    def set_default_actor_lifetime(self, default_actor_lifetime):
        if default_actor_lifetime not in ("detached", "non_detached"):
            raise ValueError("Default actor lifetime must be one of `detached`, `non_detached`")
        self._default_actor_lifetime = default_actor_lifetime

    @classmethod
    def from_json(cls, job_config_json):
        names = {
            "disable_job_level_lineage_reconstruction": "_disable_job_level_lineage_reconstruction",
            "client_job": "_client_job",
            "py_driver_sys_path": "_py_driver_sys_path",
        }
        known = (
            "jvm_options",
            "code_search_path",
            "runtime_env",
            "metadata",
            "ray_namespace",
            *names,
        )
        given = {names.get(k, k): v for k, v in job_config_json.items() if k in known}
        return cls(**{k: v for k, v in given.items() if v is not None})
