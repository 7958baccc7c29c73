# SPDX-License-Identifier: Apache-2.0
"""include/mobula.h: programs in C that call tasks and actors in C, on a cluster of init()."""
import pathlib
import subprocess

import pytest
from core_session import BUILD, TOP, until

HERE = pathlib.Path(__file__).parent
FLAGS = ["-std=c17", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", f"-I{TOP}/include"]


def compile_c(source, out, *flags):
    subprocess.run(["cc", *FLAGS, "-o", out, source, *flags], check=True, timeout=60)
    return out


def shared(source, out, *flags):
    return compile_c(source, out, "-shared", "-fPIC", *flags)


def program(source, out):
    library = BUILD / "src/capi"
    return compile_c(source, out, f"-L{library}", "-lmobula", f"-Wl,-rpath,{library}")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The driver, and the library of its tasks."""
    folder = tmp_path_factory.mktemp("c")
    return (program(HERE / "c/driver.c", folder / "driver"),
            shared(HERE / "c/tasks.c", folder / "tasks.so"))


@pytest.fixture
def cluster(ray):
    """ray.init(num_cpus=2) in a process of its own."""
    python = ray.start("import ray; ray.init(num_cpus=2); print('up', flush=True); import time; time.sleep(600)")
    assert python.stdout.readline() == "up\n"
    yield ray
    python.kill()
    python.wait(10)


def said(ray, *command):
    done = subprocess.run(command, env=ray.environment, text=True, timeout=100,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_tasks(cluster, built):
    driver, library = built
    assert said(cluster, driver, "tasks", library).splitlines() == [
        "hello",
        "",
        "error: fail failed: as asked: 7",
        "error: echo failed: Invalid argument",
        "error: no_such_symbol failed: the library has no symbol \"no_such_symbol\": it must be "
        "exported and, in C++, extern \"C\"",
        "from within",
        "a-b",
        "error: fail failed: as asked: 7",
        "a 1 b",
        "",
        "second",
    ]


def test_large_values(cluster, built):
    assert said(cluster, *built[:1], "large", built[1]) == "the same\nthe same\n"


def test_waiting_and_cancelling(cluster, built):
    out = said(cluster, *built[:1], "waits", built[1]).splitlines()
    assert out[:3] == ["0 1", "1", "1"]
    assert out[3].startswith("error: the call was cancelled")


def test_a_crash_is_an_error(cluster, built):
    out = said(cluster, *built[:1], "crashes", built[1]).splitlines()
    assert out[0].startswith("error: the worker died while it ran the call"), out
    assert out[1] == "still here"


def test_actors(cluster, built):
    out = said(cluster, *built[:1], "actors", built[1]).splitlines()
    assert out[:3] == ["1", "1", "1 2 3"]
    assert out[3] == "error: none failed: its class has no method of this name"
    assert out[4:7] == ["1", "1", "-1"]
    assert out[7].startswith("error: the actor is dead") and "not like this" in out[7], out


def test_misuse_is_told(cluster, built):
    assert said(cluster, *built[:1], "misuse", built[1]).splitlines() == [
        "open /nonexistent: No such file or directory",
        "/etc/passwd is no shared object",
        "a symbol has 1 to 255 characters",
        "num_returns is 65, 0 to 64 are possible",
        "resource 0: a name and an amount from 0 on are needed",
        "a detached actor needs a name: nobody could find it",
    ]


def test_no_cluster(ray, built):
    done = subprocess.run([*built[:1], "tasks", built[1]], env=ray.environment, text=True,
                          capture_output=True, timeout=30)
    assert done.returncode == 1
    assert "no cluster runs on this machine" in done.stdout and "ray start --head" in done.stdout


def test_nothing_of_a_program_stays(cluster, built):
    """Its workers are of its job; the cluster's own, without a job yet, come and go as they like."""
    def workers():
        return [line for line in cluster.processes().values() if "c-worker" in line]

    said(cluster, *built[:1], "tasks", built[1])
    assert until(lambda: not workers()), workers()


def test_examples(cluster, tmp_path):
    source = TOP / "examples/c"
    words = program(source / "words.c", tmp_path / "words")
    tasks = shared(source / "words.c", tmp_path / "words.so", "-DTASKS")
    text = tmp_path / "text"
    text.write_text("one two\nthree " * 1000)
    assert said(cluster, words, tasks, text).startswith("3000 words in ")
    account = program(source / "account.c", tmp_path / "account")
    actor = shared(source / "account.c", tmp_path / "account.so", "-DACTOR")
    assert said(cluster, account, actor).splitlines() == [
        "deposit 50: balance 150",
        "withdraw 120: balance 30",
        "withdraw 120: withdraw failed: the balance is 30",
    ]


def test_the_header_is_c_and_cpp(tmp_path):
    for compiler, name in (("cc", "x.c"), ("c++", "x.cc")):
        source = tmp_path / name
        source.write_text("#include <mobula.h>\n")
        subprocess.run([compiler, "-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{TOP}/include",
                        "-fsyntax-only", source], check=True, timeout=60)
