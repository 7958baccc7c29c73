# SPDX-License-Identifier: Apache-2.0
"""Every command has a manual page, made from the table of its --help."""
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, TOP

BINARY = BUILD / "bin" / "mobula"


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def commands(*words):
    """Those below `mobula words`, and it."""
    done = run(BINARY, *words, "--commands")
    names = done.stdout.split() if done.returncode == 0 else []
    return [words] + [found for name in names for found in commands(*words, name)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("man1")
    done = run(TOP / "tools" / "man", BINARY, folder)
    assert done.returncode == 0, done.stderr
    return folder


def page_of(pages, words):
    name = "-".join(("mobula", *words))
    return pages / (re.sub(r"^mobula-(?=ray(-|$))", "", name) + ".1")


def test_every_command_has_a_page(pages):
    found = commands()
    assert ("run",) in found and ("ray", "job", "submit") in found
    assert sorted(pages.iterdir()) == sorted(page_of(pages, words) for words in found)


def test_pages_tell_all_that_help_tells(pages):
    for words in commands():
        shown = run(BINARY, *words, "--help").stdout
        text = page_of(pages, words).read_text().replace("\\-", "-")
        for line in re.findall(r"^  ((?:-\w, )?--[\w-]+|[\w-]+)(?=  | [A-Z\[]|$)",
                               shown.partition("\nOptions:")[2], re.MULTILINE):
            assert line in text, (words, line)
        for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"):
            assert f"\n.SH {heading}\n" in text, (words, heading)


def test_pages_are_clean_roff(pages):
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    for page in pages.iterdir():
        # Not under AddressSanitizer (make asan): it finds what is groff's.
        done = run("env", "-u", "LD_PRELOAD", "groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-z", page)
        assert (done.returncode, done.stderr) == (0, ""), page


