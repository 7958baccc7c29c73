# SPDX-License-Identifier: Apache-2.0
"""Runtime environments as objects: dicts whose fields are checked and in canonical form."""
import json

from ray._private.runtime_env_fields import FIELDS, check_together


class RuntimeEnvConfig(dict):
    """How an environment is set up, beside what it is."""

    known_fields = {"setup_timeout_seconds", "eager_install", "log_files"}

    def __init__(self, setup_timeout_seconds=600, eager_install=True, log_files=None):
        if not isinstance(setup_timeout_seconds, int):
            raise TypeError(
                f"setup_timeout_seconds must be of type int, got: {type(setup_timeout_seconds)}"
            )
        if setup_timeout_seconds <= 0 and setup_timeout_seconds != -1:
            raise ValueError(
                "setup_timeout_seconds must be greater than zero "
                f"or equals to -1, got: {setup_timeout_seconds}"
            )
        if not isinstance(eager_install, bool):
            raise TypeError(f"eager_install must be a boolean. got {type(eager_install)}")
        if log_files is not None and not isinstance(log_files, list):
            raise TypeError(
                "log_files must be a list of strings or None, got "
                f"{log_files} with type {type(log_files)}."
            )
        if not all(isinstance(name, str) for name in log_files or ()):
            raise TypeError("Each item in log_files must be a string.")
        super().__init__(
            setup_timeout_seconds=setup_timeout_seconds,
            eager_install=eager_install,
            log_files=log_files if log_files is not None else [],
        )

    @classmethod
    def parse_and_validate_runtime_env_config(cls, config):
        if isinstance(config, RuntimeEnvConfig):
            return config
        if not isinstance(config, dict):
            raise TypeError(
                "runtime_env['config'] must be of type dict or RuntimeEnvConfig, "
                f"got: {type(config)}"
            )
        unknown = set(config) - cls.known_fields
        if unknown:
            import logging

            logging.getLogger(__name__).warning(
                "The following unknown entries in the runtime_env_config "
                f"dictionary will be ignored: {unknown}."
            )
        return cls(**{name: config[name] for name in cls.known_fields if name in config})

    @classmethod
    def default_config(cls):
        return cls()

    def to_dict(self):
        return dict(self)


class RuntimeEnv(dict):
    """A runtime environment: `ray.init(runtime_env=RuntimeEnv(pip=["requests"]))`."""

    known_fields = {
        *FIELDS,
        "py_executable",
        "java_jars",
        "_ray_release",
        "_ray_commit",
        "_inject_current_ray",
        "worker_process_setup_hook",
        "_nsight",
        "_rocprof_sys",
        "image_uri",
    }
    extensions_fields = {"_ray_release", "_ray_commit", "_inject_current_ray"}

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
        nsight=None,
        rocprof_sys=None,
        config=None,
        _validate=True,
        image_uri=None,
        uv=None,
        **kwargs,
    ):
        given = {
            **kwargs,
            "py_modules": py_modules,
            "py_executable": py_executable,
            "working_dir": working_dir,
            "pip": pip,
            "uv": uv,
            "conda": conda,
            "_nsight": nsight,
            "_rocprof_sys": rocprof_sys,
            "container": container,
            "env_vars": env_vars,
            "config": config,
            "worker_process_setup_hook": worker_process_setup_hook,
            "image_uri": image_uri,
        }
        super().__init__({k: v for k, v in given.items() if v is not None or k in kwargs})
        if _validate:
            self._check()

    def _check(self):
        check_together(self)
        for field in FIELDS:
            value = self.get(field)
            if value is not None:
                del self[field]
                self[field] = value
        if self.get("pip") or self.get("conda"):
            import ray

            self.setdefault("_ray_commit", ray.__commit__)
        if all(value is None for value in self.values()):
            self.clear()

    def __setitem__(self, field, value):
        check = FIELDS.get(field)
        if check is not None:
            value = check(value)
            if value is None:
                return
        super().__setitem__(field, value)

    def set(self, name, value):
        self[name] = value

    def get(self, name, default=None, data_class=None):
        value = super().get(name, default)
        return data_class(**value) if data_class and name in self else value

    def to_dict(self):
        fields = dict(self)
        if fields.get("config"):
            fields["config"] = fields["config"].to_dict()
        return fields

    def serialize(self):
        return json.dumps(type(self)(**self), sort_keys=True)

    @classmethod
    def deserialize(cls, serialized_runtime_env):
        return cls(_validate=False, **json.loads(serialized_runtime_env))

    # ---- field by field -----------------------------------------------------------------------

    def has_working_dir(self):
        return self.get("working_dir") is not None

    def working_dir(self):
        return self.get("working_dir", "")

    def working_dir_uri(self):
        return self.get("working_dir")

    def py_modules(self):
        return list(self.get("py_modules", ()))

    py_modules_uris = py_modules

    def py_executable(self):
        return self.get("py_executable")

    def java_jars(self):
        return list(self.get("java_jars", ()))

    def env_vars(self):
        return self.get("env_vars", {})

    def nsight(self):
        return self.get("_nsight")

    def rocprof_sys(self):
        return self.get("_rocprof_sys")

    def image_uri(self):
        return self.get("image_uri")

    def has_conda(self):
        return bool(self.get("conda"))

    def conda_env_name(self):
        conda = self.get("conda")
        return conda if conda and isinstance(conda, str) else None

    def conda_config(self):
        conda = self.get("conda")
        return json.dumps(conda, sort_keys=True) if conda and isinstance(conda, dict) else None

    def has_pip(self):
        return bool(self.get("pip"))

    def pip_config(self):
        return self.get("pip") or {}

    def virtualenv_name(self):
        pip = self.get("pip")
        return pip if pip and isinstance(pip, str) else None

    def has_uv(self):
        return bool(self.get("uv"))

    def uv_config(self):
        return self.get("uv") or {}

    def has_py_container(self):
        return bool(self.get("container"))

    def py_container_image(self):
        return self._of_container("image", "")

    def py_container_worker_path(self):
        return self._of_container("worker_path", "")

    def py_container_run_options(self):
        return self._of_container("run_options", [])

    def _of_container(self, name, default):
        return self["container"].get(name, default) if self.has_py_container() else None

    def get_extension(self, key):
        if key not in self.extensions_fields:
            raise ValueError(f"Extension key must be one of {self.extensions_fields}, got: {key}")
        return self.get(key)

    def plugins(self):
        """The fields that are no field of Ray's own."""
        return [(name, value) for name, value in self.items() if name not in self.known_fields]

    def plugin_uris(self):
        return []


__all__ = ["RuntimeEnv", "RuntimeEnvConfig"]
