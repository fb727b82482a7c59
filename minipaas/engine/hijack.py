"""A request to Podman after which the connection belongs to a stream: attached to a process, in both directions.

Podman answers an upgrade (`Connection: Upgrade`, RFC 9110 7.8) with status 101 and then speaks raw bytes; half-closing
our side is the end of the process's standard input. aiohttp has no such thing, so the few lines of HTTP are here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from minipaas.engine import limits
from minipaas.engine.causes import dropped, explain, podman_text, unreachable
from minipaas.engine.session import PREFIX, Params, flags, too_long

_HEAD = 16 * 1024
"""Longest head of an answer."""


class Hijacked:
    """The connection after the upgrade."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError when the other side is gone."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """No more input; output still comes."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write_eof()

    def close(self) -> None:
        """At once, in both directions."""
        self._writer.transport.abort()


async def hijack(socket: str, what: str, path: str, body: object, *, params: Params | None = None) -> Hijacked:
    """POST to a path of libpod's and take the connection over. Raises EngineDown, EngineError, Deadline."""
    query = f"?{urlencode(flags(params))}" if params else ""
    data = msgspec.json.encode(body)
    head = (
        f"POST {PREFIX}{path}{query} HTTP/1.1\r\nHost: podman\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    try:
        async with asyncio.timeout(limits.ATTACH):
            return await _upgraded(socket, what, head.encode() + data)
    except TimeoutError:
        raise too_long(what, limits.ATTACH) from None
    except (FileNotFoundError, ConnectionRefusedError, PermissionError):
        raise unreachable(socket) from None
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise dropped(what) from None


async def _upgraded(socket: str, what: str, request: bytes) -> Hijacked:
    reader, writer = await asyncio.open_unix_connection(socket, limit=_HEAD)
    try:
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        status, headers = _parsed(head)
        if status not in (101, 200):
            answer = await reader.readexactly(min(int(headers.get("content-length", "0")), limits.MAX_ERROR_BODY))
            raise explain(what, podman_text(answer), status)
        return Hijacked(reader, writer)
    except BaseException:
        writer.transport.abort()
        raise


def _parsed(head: bytes) -> tuple[int, Mapping[str, str]]:
    """Status and headers (names in lower case). Raises ConnectionError for what is no HTTP."""
    line, *fields = head.decode("latin-1").split("\r\n")
    words = line.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
        raise ConnectionError("no HTTP")
    pairs = (field.partition(":") for field in fields if field)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}
