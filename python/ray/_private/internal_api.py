# SPDX-License-Identifier: Apache-2.0
"""What of the object store is for people."""


def memory_summary(
    address=None,
    group_by="NODE_ADDRESS",
    sort_by="OBJECT_SIZE",
    units="B",
    line_wrap=True,
    stats_only=False,
    num_entries=None,
):
    """What `ray memory` prints."""
    import subprocess

    from ray import _mobula
    from ray._private.cluster import binary

    if address is None and _mobula.is_connected():
        address = _mobula.info()["gcs_address"]
    words = ["ray", "memory", "--group-by", group_by, "--sort-by", sort_by, "--units", units]
    for word, value in (("--address", address), ("--n", num_entries)):
        words += [word, str(value)] if value is not None else []
    words += ["--no-format"] * (not line_wrap) + ["--stats-only"] * bool(stats_only)
    done = subprocess.run(words, executable=binary(), capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def global_gc():
    """Collects what Python keeps in this process. Objects go with their last reference by themselves."""
    import gc

    gc.collect()
