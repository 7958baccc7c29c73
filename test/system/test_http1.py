# SPDX-License-Identifier: Apache-2.0
"""Our HTTP/1 parser beside h11: what we take, h11 takes too and reads the same. (We may refuse more.)"""
import random
import struct
import subprocess

import pytest

from conftest import BUILD

h11 = pytest.importorskip("h11")

LINES = [b"GET / HTTP/1.1", b"POST /a%20b?x=1&y HTTP/1.1", b"PUT /x HTTP/1.0", b"DELETE /* HTTP/1.1"]
FIELDS = [b"Host: h", b"Host: h:80", b"Content-Length: 5", b"Transfer-Encoding: chunked",
          b"Transfer-Encoding: Chunked", b"Connection: close", b"X-Empty:", b"X-Spaces:  a b \t",
          b"X-Obs: \xe9", b"Expect: 100-continue", b"Content-Length: 05", b"A: b, c", b"Upgrade: x",
          b"Connection: upgrade"]
BODIES = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nT: v\r\n\r\n",
          b"A\r\n0123456789\r\n0\r\n\r\n"]
SCRAPS = [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b"\x7f", b"\x80", b",", b";", b"0", b"g",
          b"HTTP/1.1", b"Host: h\r\n", b"Content-Length: 5\r\n", b"\x0b"]


def make(dice):
    fields = dice.sample(FIELDS, dice.randrange(1, 5))
    text = b"\r\n".join([dice.choice(LINES), *fields]) + b"\r\n\r\n" + dice.choice(BODIES)
    for _ in range(dice.choice([0, 0, 1, 1, 2, 3])):
        at, scrap = dice.randrange(len(text)), dice.choice(SCRAPS)
        text = text[:at] + scrap + text[at + dice.choice([0, 0, 1, len(scrap)]):]
    return text


def by_h11(text):
    """(method, target, headers, body or None), or None if refused or unfinished."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(text.removeprefix(b"\r\n"))  # which RFC 9112, 2.2 says to ignore
    try:
        request = server.next_event()
        if not isinstance(request, h11.Request):
            return None
    except h11.RemoteProtocolError:
        return None
    body = b""
    try:
        while True:
            event = server.next_event()
            if isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                body = None
                break
    except h11.RemoteProtocolError:
        body = None
    return request.method, request.target, [(bytes(n), bytes(v)) for n, v in request.headers], body


def parse_line(line):
    if line in ("refused", "more"):
        return line
    method, target, _minor, headers, body = line.split("\t")
    pairs = [h.split("=") for h in headers.split(",")] if headers else []
    return (method.encode(), target.encode(),
            [(n.lower().encode(), bytes.fromhex(v)) for n, v in pairs],
            None if body == "-" else bytes.fromhex(body))


def test_beside_h11():
    dice = random.Random(7)
    texts = [make(dice) for _ in range(20000)]
    done = subprocess.run([BUILD / "src/net/http1-check"], capture_output=True, timeout=60, check=True,
                          input=b"".join(struct.pack("<I", len(t)) + t for t in texts))
    ours = [parse_line(line) for line in done.stdout.decode().splitlines()]
    assert len(ours) == len(texts)
    taken = 0
    for text, our in zip(texts, ours):
        if our in ("refused", "more"):
            continue
        taken += 1
        theirs = by_h11(text)
        assert theirs is not None, f"only we take {text!r}"
        # h11 joins nothing and keeps the order too; it writes the coding in lower case.
        our_headers = [(n, v.lower() if n == b"transfer-encoding" else v) for n, v in our[2]]
        assert (our[0], our[1], our_headers) == theirs[:3], text
        if our[3] is not None:
            assert our[3] == theirs[3], text
    assert taken > 1000  # or the comparison says nothing
