# SPDX-License-Identifier: Apache-2.0
"""The example's RayJob, packages and all, from manifest to exit status."""
import re

from embedded import EXAMPLE, TOP, needs_root, replaced, said

pytestmark = needs_root

# What pip would say of it, were it asked.
UNREACHABLE = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_NO_INDEX": "1",
               "PIP_CONFIG_FILE": "/dev/null"}


def environments(cache):
    """What the cache holds, and since when."""
    return {path.name: path.stat().st_mtime_ns for path in (cache / "pip").iterdir()
            if re.fullmatch(r"[0-9a-f]{32}", path.name)}


def test_the_example_and_again_without_a_network(run, cache, registry):
    first = run.mobula("run", str(TOP / "examples" / "rayjob-counter.yaml"))
    assert first.returncode == 0, said(first)
    assert "\ntest_counter got 2\n" in first.stdout
    made = environments(cache)
    assert len(made) == 1

    # The job tells what its environment says of the registry: had pip been asked, it would fail.
    script = replaced(EXAMPLE, "    ray.init()\n",
                      "    ray.init()\n    print('index', os.getenv('PIP_INDEX_URL'))\n")
    again, job = run.run_json(script, env=UNREACHABLE)
    assert again.returncode == 0, said(again)
    assert "\ntest_counter got 2\n" in said(again)
    assert f"index {UNREACHABLE['PIP_INDEX_URL']}" in said(again)
    assert job["status"] == "SUCCEEDED"  # how long it took: bench/rayjob
    assert environments(cache) == made


def test_a_requirement_that_cannot_be_met_is_named(run, registry):
    done, job = run.run_json(replaced(EXAMPLE, "- requests==2.26.0", "- requests==0.0.0.1"))
    assert done.returncode == 1, said(done)
    assert job["status"] == "FAILED"
    assert "requests==0.0.0.1" in job["message"], job


def test_a_registry_that_cannot_be_reached_is_told(run):
    done, job = run.run_json(replaced(EXAMPLE, "- requests==2.26.0", "- requests==2.26.9"),
                             env=UNREACHABLE)
    assert done.returncode == 1, said(done)
    assert "requests==2.26.9" in job["message"], job
