# SPDX-License-Identifier: Apache-2.0
"""`ray job`: what ended, what is unknown, what was given wrongly."""
import os

import ray
from _command import command

session = ray.init(num_cpus=2, include_dashboard=True, log_to_driver=False)
os.environ["RAY_API_SERVER_ADDRESS"] = url = f"http://{session.dashboard_url}"
names = {url: "URL", os.environ["RAY_TMPDIR"]: "TMP"}
shell = ("--", "sh", "-c")


def job(*words, **more):
    return command("job", *words, replaced=names, **more)


def refused(sentence, *words):
    """Servers and clients put their own words around the sentence."""
    done = job(*words, texts=False)
    print("   ", sentence if sentence in done.stdout + done.stderr else done.stderr)


print("=== begin")
job("submit", "--submission-id", "good", *shell, "echo '{one}' two; echo three >&2")
job("submit", "--submission-id", "bad", *shell, "echo last words; exit 3")
refused("Job with submission_id good already exists. Please use a different submission_id.",
        "submit", "--submission-id", "good", "--", "true")
job("submit", "--submission-id", "long", "--no-wait", "--", "sleep", "100")
job("stop", "long", texts=False)
job("submit", "--submission-id", "quoted", "--", "echo", "a b", "c'd", "$HOME", "*")
for name in ("good", "bad", "long", "unknown"):
    job("status", name)
    job("logs", name)
    job("stop", name)
    job("stop", "--no-wait", name)
job("logs", "--follow", "good")
job("logs", "--follow", "unknown", texts=False)
job("delete", "good")
job("delete", "good")
job("status", "good")
job("delete", "unknown")
job("submit", "--submission-id", "running", "--no-wait", "--", "sleep", "100")
refused("Attempted to delete job 'running', but it is in a non-terminal state ", "delete", "running")
job("stop", "running", "--no-wait")
for option, value, sentence in (
    ("--metadata-json", "{", "is not a valid JSON string"),
    ("--metadata-json", "[1]", "is not a valid JSON string"),
    ("--metadata-json", '{"a": 1}', "metadata values must be strings, got <class 'int'>"),
    ("--entrypoint-resources", "{", "is not a valid JSON string"),
    ("--entrypoint-resources", '{"a": "b"}', "entrypoint_resources values must be numbers, got <class 'str'>"),
    ("--entrypoint-label-selector", "5", "is not a valid JSON string"),
    ("--runtime-env-json", "{", ""),
    ("--runtime-env-json", '{"env_vars": {"a": 1}}',
     "runtime_env['env_vars'] must be of type Dict[str, str], but the value 1 is of type <class 'int'>"),
    ("--runtime-env-json", '{"pip": ["a"], "conda": "b"}',
     "The 'pip' field, 'uv' field, and 'conda' field of runtime_env cannot be specified at the same time."),
    ("--runtime-env", "/no/such/file.yaml", "/no/such/file.yaml"),
    ("--working-dir", "/no/such/folder", "/no/such/folder"),
    ("--working-dir", "ftp://a/b.zip", ""),
    ("--submission-id", "a/b", ""),
):
    refused(sentence, "submit", option, value, "--no-wait", "--", "true")
job("submit", "--job-id", "old", "--", "true")
job("submit", "--submission-id", "absent", "--", "no_such_command_at_all")
print("=== end")
