# SPDX-License-Identifier: Apache-2.0
import tempfile

import ray
from _show import show
from ray.runtime_env import RuntimeEnv, RuntimeEnvConfig

folder = tempfile.mkdtemp()
for label, fields in [
    ("pip and conda", dict(pip=["a"], conda="x")), ("pip and uv", dict(pip=["a"], uv=["b"])),
    ("env_vars of a list", dict(env_vars=["a"])), ("env_vars of numbers", dict(env_vars={"A": 1})),
    ("env_vars by number", dict(env_vars={1: "A"})), ("working_dir, a number", dict(working_dir=1)),
    ("py_modules, a str", dict(py_modules="x")), ("excludes, a str", dict(excludes="x")),
    ("excludes of numbers", dict(excludes=[1])), ("config, a str", dict(config="x")),
    ("timeout, 0", dict(config={"setup_timeout_seconds": 0})),
    ("timeout, a str", dict(config={"setup_timeout_seconds": "a"})),
    ("eager, a str", dict(config={"eager_install": "a"})),
    ("hook, a number", dict(worker_process_setup_hook=1)),
    ("pip, a number", dict(pip=1)), ("conda, a number", dict(conda=1)),
    ("container and pip", dict(container={"image": "a"}, pip=["b"])),
    ("image_uri and pip", dict(image_uri="a", pip=["b"])),
    ("image_uri and env_vars", dict(image_uri="a", env_vars={"A": "1"})),
    ("py_executable, a number", dict(py_executable=1)),
    ("java_jars, a str", dict(java_jars="x")),
]:
    show(label, lambda: dict(RuntimeEnv(**fields)))
env = RuntimeEnv(working_dir="https://e.org/a.zip", env_vars={"A": "1"}, config=RuntimeEnvConfig(setup_timeout_seconds=7))
print(sorted(env), env["env_vars"], env.working_dir(), env.env_vars(), env.has_working_dir())
print(env.has_pip(), env.has_uv(), env.has_conda(), env.py_modules(), env.py_executable())
print(env.to_dict()["config"]["setup_timeout_seconds"], RuntimeEnv.deserialize(env.serialize()) == env)
print(env.serialize())
show("an unknown URI", lambda: dict(RuntimeEnv(working_dir="ftp://e.org/a.zip")))
show("not a zip", lambda: dict(RuntimeEnv(working_dir="https://e.org/a")))
show("set", lambda: env.set("env_vars", {"B": "2"}) or env["env_vars"])
show("set, bad", lambda: env.set("env_vars", {"B": 2}))
show("copy", lambda: type(env.copy()).__name__)
show("of a folder", lambda: dict(RuntimeEnv(working_dir=folder)) == {"working_dir": folder})
show("init", lambda: ray.init(num_cpus=1, log_to_driver=False, runtime_env={"working_dir": "/no/such/folder"}) and None)
