# SPDX-License-Identifier: Apache-2.0
"""Builds bench/calls.c against this build's libmobula and runs it on a cluster of one CPU. Prints its JSON."""
import os
import pathlib
import subprocess
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
LIBRARY = pathlib.Path(os.environ["MOBULA_BENCH_BUILD"]) / "src/capi"


def build(folder):
    common = ["cc", "-O2", f"-I{TOP}/include", str(TOP / "bench/calls.c")]
    tasks, program = folder / "calls.so", folder / "calls"
    subprocess.run([*common, "-DTASKS", "-shared", "-fPIC", "-o", tasks], check=True)
    subprocess.run([*common, "-o", program, f"-L{LIBRARY}", "-lmobula", f"-Wl,-rpath,{LIBRARY}"],
                   check=True)
    return program, tasks


def main():
    import ray

    with tempfile.TemporaryDirectory() as folder:
        program, tasks = build(pathlib.Path(folder))
        ray.init(num_cpus=1, _temp_dir=f"{folder}/ray", logging_level="error")
        socket = {"RAY_TMPDIR": folder}
        subprocess.run([program, tasks], env={**os.environ, **socket}, check=True, timeout=120)
        ray.shutdown()


main()
