# SPDX-License-Identifier: Apache-2.0
"""The peer's own client against our head: same words, same answers."""
import json
import os
import re
import subprocess

from conftest import TOP, lines, peer_text


def stock(peer, cluster, *words, timeout=90):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTHONPATH"))}
    env["HOME"] = cluster.env["HOME"]
    return subprocess.run([peer.parent / "ray", "job", words[0], "--address", cluster.url,
                           *map(str, words[1:])], capture_output=True, text=True, env=env,
                          timeout=timeout, cwd=cluster.home)


def test_both_command_lines_say_the_same(peer, shared_cluster, home):
    wd = home / "wd"
    wd.mkdir()
    (wd / "x.py").write_text("import os\nprint('hi', os.environ['A'])\n")
    env = json.dumps({"env_vars": {"A": "1"}})
    for n, words in enumerate((["python", "x.py"], ["sh", "-c", "echo oh; exit 3"])):
        results = []
        for who, run in (("a", lambda *w: stock(peer, shared_cluster, *w)),
                         ("b", lambda *w: shared_cluster.job(*w))):
            job = f"pair-{n}-{who}"
            done = run("submit", "--submission-id", job, "--working-dir", wd,
                       "--runtime-env-json", env, "--", *words)
            state = run("status", job)
            results.append((done.returncode, (done.stdout + state.stdout).replace(job, "JOB")))
        (code, text), (our_code, our_text) = results
        assert code == our_code
        assert peer_text(text) == lines(our_text)


def test_stop_logs_list_delete(peer, shared_cluster):
    done = stock(peer, shared_cluster, "submit", "--submission-id", "s", "--no-wait", "--", "sleep",
                 "300")
    assert done.returncode == 0, done.stderr
    done = stock(peer, shared_cluster, "stop", "s")
    assert done.returncode == 0 and peer_text(done.stdout)[-1] == "Job 's' was stopped"
    assert "submission_id='s'" in stock(peer, shared_cluster, "list").stdout
    assert "Running entrypoint" in stock(peer, shared_cluster, "logs", "s").stdout
    done = stock(peer, shared_cluster, "delete", "s")
    assert peer_text(done.stdout)[-1] == "Job 's' deleted successfully"
    done = stock(peer, shared_cluster, "status", "s")
    assert done.returncode == 1
    assert re.search(r"RuntimeError: Request failed with status code 404: Job s does not exist\.",
                     done.stderr)


def test_job_submission_client(peer, shared_cluster):
    script = f"""
import asyncio
from ray.job_submission import JobSubmissionClient, JobStatus
client = JobSubmissionClient({shared_cluster.url!r})
job = client.submit_job(entrypoint="echo from the client", metadata={{"a": "b"}},
                        runtime_env={{"env_vars": {{"X": "1"}}}})
async def follow():
    return "".join([text async for text in client.tail_job_logs(job)])
text = asyncio.run(follow())
assert "from the client" in text, text
info = client.get_job_info(job)
assert info.status == JobStatus.SUCCEEDED and info.metadata == {{"a": "b"}}, info
assert client.get_job_logs(job) == text
assert job in [j.submission_id for j in client.list_jobs()]
assert client.delete_job(job)
print("client ok")
"""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTHONPATH"))}
    done = subprocess.run([peer, "-c", script], capture_output=True, text=True, env=env, timeout=90,
                          cwd=shared_cluster.home)
    assert done.stdout.strip().endswith("client ok"), done.stdout + done.stderr


def test_the_counter_script(peer, shared_cluster):
    done = stock(peer, shared_cluster, "submit", "--working-dir", TOP / "examples", "--", "python",
                 "my_script.py", timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("test_counter got ")] == [
        f"test_counter got {n}" for n in range(1, 10001)]
