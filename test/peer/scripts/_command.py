# SPDX-License-Identifier: Apache-2.0
"""Runs commands of `ray` and prints what they answer: status, output, and what went wrong."""
import os
import re
import subprocess

# Lines of loggers: when and where, no answer to a user.
LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\t|\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ ")
# Where a warning comes from, before what it says.
WARNED = re.compile(r"\S+:\d+: (?=\w+Warning: )")
# Ray writes this line while the entrypoint writes its own.
STARTED = "Running entrypoint for job "
# An exception, and of a server's: the last one is what was wrong in the first place.
EXCEPTION = re.compile(r"[\w.]+(Error|Exception): ")


def said(text, replaced, failed=False):
    """The lines of `text`, without those of loggers; of what `failed`, the exception only."""
    lines = [line.rstrip() for line in text.splitlines() if not LOGGED.match(line)]
    lines = [WARNED.sub("", line) for line in lines if not line.startswith(("  warnings.warn(", STARTED))]
    starts = [i for i, line in enumerate(lines) if EXCEPTION.match(line)] if failed else []
    lines = lines[starts[-1] if starts else 0 :]
    for index, line in enumerate(lines):
        for what, name in replaced.items():
            line = line.replace(what, name)
        lines[index] = line
    return [line for line in lines if line]


def command(*words, replaced={}, texts=True, **environment):
    """Runs `ray WORDS`; what is None in the environment is not there.

    Without `texts` it is the status that counts. Ray writes records of a logger where no terminal is, unless it is told otherwise.
    """
    style = ["--log-style=pretty"] if words and words[0] in ("job", "start", "stop") and "--help" not in words else []
    place = 2 if words[:1] == ("job",) else 1
    changed = {k: v for k, v in {**os.environ, **environment}.items() if v is not None}
    done = subprocess.run(
        ["ray", *words[:place], *style, *words[place:]], env=changed, text=True, stdin=subprocess.DEVNULL, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    shown = " ".join(words)
    for what, name in replaced.items():
        shown = shown.replace(what, name)
    print(f"$ ray {shown}: {done.returncode}")
    for mark, text in (("  ", done.stdout), ("! ", done.stderr)) if texts else ():
        for line in said(text, replaced, failed=mark == "! " and done.returncode == 1):
            print(mark + line)
    return done
