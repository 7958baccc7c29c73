# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import tempfile

import ray

folder = pathlib.Path(tempfile.mkdtemp())
(folder / "data.txt").write_text("from the folder")
(folder / "helper_of_mine.py").write_text("VALUE = 41\n\ndef plus(x):\n    return VALUE + x\n")
(folder / "left.log").write_text("not sent")
module = pathlib.Path(tempfile.mkdtemp()) / "shared_module"
module.mkdir()
(module / "__init__.py").write_text("NAME = 'shared'\n")
ray.init(
    num_cpus=2,
    log_to_driver=False,
    runtime_env={
        "working_dir": str(folder),
        "excludes": ["*.log"],
        "py_modules": [str(module)],
        "env_vars": {"A": "1", "B": "2"},
    },
)


@ray.remote
def look():
    import helper_of_mine
    import shared_module

    files = sorted(f for f in os.listdir(".") if not f.startswith("__"))
    return files, helper_of_mine.plus(1), shared_module.NAME, os.environ["A"], os.environ["B"]


print(ray.get(look.remote()))


@ray.remote(runtime_env={"env_vars": {"B": "3", "C": "4"}})
class Actor:
    def look(self):
        return [os.environ.get(k) for k in "ABC"], open("data.txt").read()


actor = Actor.remote()
print(ray.get(actor.look.remote()))
print(ray.get(look.options(runtime_env={"env_vars": {"A": "5"}}).remote())[3:])
kept = ray.get_runtime_context().runtime_env
print(sorted(kept), kept["working_dir"].startswith("gcs://_ray_pkg_"))
