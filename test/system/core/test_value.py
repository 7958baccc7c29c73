# SPDX-License-Identifier: Apache-2.0
"""The value codec alone: what comes back is what went in, and no bytes crash it."""
import os
import subprocess
import sys

import pytest
from core_session import BUILD

ROUND_TRIP = """
    from ray import _mobula
    deep = []
    for _ in range(40):
        deep = [deep]
    values = [
        None, True, False, 0, -1, 2**63 - 1, -2**63, 2**63, 10**30, 0.0, -0.0, float("inf"), 1e-300,
        "", "a", "\\u00e9\\U0001f600", "\\ud800", "x" * 70000, b"", b"\\0" * 10, b"y" * 100000, (), ((),),
        [], [[], [1, (2, {"k": None})]], {}, {1: {2: {3: 4}}}, {(1, "a"): [b"b"]}, {1, 2},
        frozenset("ab"), 1j, range(5), deep, [None] * 100000, {str(i): i for i in range(5000)},
        bytearray(b"z"), type("T", (int,), {})(3), list, ..., NotImplemented,
    ]
    for value in values:
        back = _mobula.decode(_mobula.encode(value))
        assert back == value and (type(back) is type(value) or type(value).__name__ == "T"), value
    shared = [1]
    back = _mobula.decode(_mobula.encode({"a": shared, "b": shared}))
    assert back["a"] is back["b"]
    loop = {}
    loop["self"] = loop
    back = _mobula.decode(_mobula.encode(loop))
    assert back["self"] is back
    nan = _mobula.decode(_mobula.encode(float("nan")))
    assert nan != nan
    print("same")
"""

# Mutations of real values and plain noise. A pickle is not decoded from noise: whoever may write one
# may run code; so 'P' is tried with an unpickler that only measures.
HOSTILE = """
    import random, sys
    from ray import _mobula
    _mobula.install(loads=lambda data, buffers: sum(len(memoryview(b)) for b in buffers) + len(data))
    random.seed(int(sys.argv[1]))
    seeds = [_mobula.encode(v) for v in (
        1, "text", b"bytes", [1, [2, (3, "x")], {"k": b"v"}], {"a": 1.5, "b": None}, {1, 2},
        [set()] * 3, bytearray(50), (True, False, -1))]
    refused = taken = 0
    for _ in range(int(sys.argv[2])):
        data = bytearray(random.choice(seeds))
        for _ in range(random.randrange(1, 6)):
            kind = random.random()
            if kind < 0.4 and data:
                data[random.randrange(len(data))] = random.randrange(256)
            elif kind < 0.6:
                del data[random.randrange(len(data) + 1):]
            elif kind < 0.8:
                at = random.randrange(len(data) + 1)
                data[at:at] = random.randbytes(random.randrange(1, 9))
            else:
                data += random.choice(seeds)[: random.randrange(20)]
        try:
            _mobula.decode(bytes(data))
            taken += 1
        except (ValueError, TypeError, RecursionError, UnicodeDecodeError):
            refused += 1
        except Exception as e:
            assert type(e).__name__ in ("RaySystemError", "MemoryError"), repr(e)
    assert refused and taken
    print("survived")
"""


def run(script, *words):
    import textwrap

    environment = {**os.environ, "PYTHONPATH": str(BUILD / "python")}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *words], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
    )
    assert result.returncode == 0, result.stdout[-3000:]
    return result.stdout.strip()


def test_round_trip():
    assert run(ROUND_TRIP) == "same"


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_bytes(seed):
    assert run(HOSTILE, str(seed), os.environ.get("MOBULA_FUZZ_RUNS", "100000")) == "survived"
