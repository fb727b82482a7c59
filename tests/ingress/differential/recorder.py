"""An instance that writes down what reaches it: which requests, and where each of their bodies begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import NamedTuple

_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://[^/?]*")


def _origin_form(target: bytes) -> bytes:
    path = _ABSOLUTE.sub(b"", target, count=1)
    return b"/" + path if path[:1] in (b"", b"?") else path


class Seen(NamedTuple):
    """A whole request, its body without its coding."""

    method: bytes
    target: bytes
    """In origin form."""
    body: bytes


class Recorder:
    """`seen` holds the whole requests, in order, and `trailers` what stood behind their bodies; `unclear` is what no
    proxy should pass on."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.trailers: list[bytes] = []
        """Names in lower case."""
        self.unclear: list[bytes] = []
        self._busy = 0
        """Connections in the middle of a request."""
        self._rest = asyncio.Event()
        self._rest.set()
        self.port = 0
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, path: Path | None) -> None:
        """Listen there, or on a port of loopback."""
        if path is not None:
            self._server = await asyncio.start_unix_server(self._connected, path)
        else:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]

    async def at_rest(self) -> None:
        """Return when no request is half there."""
        await self._rest.wait()

    async def stop(self) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first = await reader.readexactly(1)
        self._busy += 1
        self._rest.clear()
        try:
            head = first + await reader.readuntil(b"\r\n\r\n")
            method, target, version = head.partition(b"\r\n")[0].split(b" ")
            if version != b"HTTP/1.1":
                self.unclear.append(head)
            body = await self._body(reader, head)
            self.seen.append(Seen(method, _origin_form(target), body))
        finally:
            self._busy -= 1
            if not self._busy:
                self._rest.set()
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return False
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if method == b"HEAD" else b"ok"))
        return True

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        lengths, codings = [], []
        for line in head.split(b"\r\n")[1:-2]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                lengths.append(value.strip())
            elif name.lower() == b"transfer-encoding":
                codings.append(value.strip().lower())
        if (
            lengths + codings
            and codings != [b"chunked"]
            and not (len(lengths) == 1 and not codings and re.fullmatch(rb"[0-9]+", lengths[0]))
        ):
            self.unclear.append(head)
        if codings:
            return await self._chunked(reader)
        return await reader.readexactly(int(lengths[0])) if lengths else b""

    async def _chunked(self, reader: asyncio.StreamReader) -> bytes:
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            match = re.fullmatch(rb"([0-9A-Fa-f]+)(;[^\r\n]*)?\r\n", line)
            if match is None:
                self.unclear.append(line)
                raise ConnectionError("not in the chunked coding")
            size = int(match[1], 16)
            if not size:
                while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                    self.trailers.append(line.partition(b":")[0].lower())
                return body
            body += await reader.readexactly(size)
            if await reader.readexactly(2) != b"\r\n":
                self.unclear.append(line)
                raise ConnectionError("not in the chunked coding")
