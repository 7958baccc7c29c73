# SPDX-License-Identifier: Apache-2.0
"""The receiving side of a WebSocket (RFC 6455), for logs that are followed."""
import asyncio
import base64
import codecs
import hashlib
import os
import struct
import urllib.parse

NORMAL, ABNORMAL = 1000, 1006
_TEXT, _BINARY, _CLOSE, _PING = 1, 2, 8, 9
_CONTINUED, _PONG = 0, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD_MAX = 64 * 1024
_FRAME_MAX = 64 * 1024 * 1024
_CONNECT_TIMEOUT = 60


class HandshakeError(Exception):
    """The server did not upgrade: its status and what it said."""

    def __init__(self, status, text):
        super().__init__(f"status {status}: {text}")
        self.status = status
        self.text = text


class WebSocket:
    """A connection whose text messages are iterated over; `close_code` says afterwards how it ended."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self.close_code = None

    @classmethod
    async def connect(cls, url, headers, context):
        """Opens `url` (http:// or https://); `context` is the TLS context of the latter."""
        parts = urllib.parse.urlsplit(url)
        secure = parts.scheme == "https"
        opening = asyncio.open_connection(
            parts.hostname, parts.port or (443 if secure else 80), ssl=context if secure else None
        )
        reader, writer = await asyncio.wait_for(opening, _CONNECT_TIMEOUT)
        try:
            await asyncio.wait_for(_upgrade(reader, writer, parts, headers), _CONNECT_TIMEOUT)
        except BaseException:
            writer.close()
            raise
        return cls(reader, writer)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *raised):
        self._writer.close()

    async def texts(self):
        """Yields each text as it comes, until the connection ends."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        while True:
            try:
                kind, data = await self._frame()
            except (asyncio.IncompleteReadError, OSError):
                self.close_code = ABNORMAL
                return
            if kind == _CLOSE:
                self.close_code = struct.unpack("!H", data[:2])[0] if len(data) >= 2 else 1005
                await self._send(_CLOSE, data[:2])
                return
            if kind == _PING:
                await self._send(_PONG, data)
            elif kind != _PONG:
                text = decoder.decode(data)  # a character may be cut between two pieces
                if text:
                    yield text

    async def _frame(self):
        first, second = await self._reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self._reader.readexactly(8))
        if second & 0x80 or first & 0x70 or length > _FRAME_MAX:
            raise ConnectionError("the server sent a frame that no server may send")
        return first & 0x0F, await self._reader.readexactly(length)

    async def _send(self, kind, data):
        """A control frame: short, masked as a client must."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data[:125]))
        self._writer.write(bytes((0x80 | kind, 0x80 | len(masked))) + mask + masked)
        try:
            await self._writer.drain()
        except OSError:
            pass  # it went away meanwhile: the next read says so


async def _upgrade(reader, writer, parts, headers):
    key = base64.b64encode(os.urandom(16))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key.decode()}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header must not have line breaks")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await writer.drain()
    status, answered = await _answer(reader)
    if status != 101:
        length = min(int(answered.get("content-length", 0)), _HEAD_MAX)
        raise HandshakeError(status, (await reader.read(length)).decode(errors="replace"))
    wanted = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
    if answered.get("sec-websocket-accept") != wanted:
        raise HandshakeError(status, "it does not speak WebSocket")


async def _answer(reader):
    """(status, {header: value}) of an HTTP answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split(" ", 2)[1]), {
        name.strip().lower(): value.strip() for name, _, value in pairs
    }
