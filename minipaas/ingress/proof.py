"""One real request, to see whether an answer comes all the way through the proxy."""

from __future__ import annotations

import asyncio
import re
import ssl
from urllib.parse import quote

from msgspec import Struct

from minipaas.ingress.pages import BUSY, FAULTS, TOO_MANY

_STATUS = re.compile(rb"HTTP/1\.1 ([1-9][0-9][0-9]) ")
_OURS = re.compile(rb"\r\nX-Minipaas: ([a-z._]+)\r\n")
_ENOUGH = 1 << 20
"""So much of an answer is read, for politeness towards the app; the rest is not waited for."""


class ProofResult(Struct, frozen=True):
    """`ok`: the app answered, with a status below 500. `detail` is for people: `GET /healthz: 200`."""

    ok: bool
    status: int | None
    detail: str


def blind() -> ssl.SSLContext:
    """For a client that wants to know what answers, and not who."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def ask(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    host: str,
    path: str,
    timeout: float,  # noqa: ASYNC109
) -> ProofResult:
    """GET `path` of `host` over this connection, which is closed afterwards, in at most `timeout` seconds."""
    what = f"GET {path}"
    target = quote(path, safe="/?&=%:@!$'()*+,;~-._")
    try:
        async with asyncio.timeout(timeout):
            writer.write(
                f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: minipaas-probe\r\nAccept: */*\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            head = await _final_head(reader)
            await _drain(reader)
    except TimeoutError:
        return ProofResult(False, None, f"{what}: no answer within {timeout:g} seconds")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return ProofResult(False, None, f"{what}: the connection broke off")
    finally:
        writer.close()
    match = _STATUS.match(head)
    if match is None:
        return ProofResult(False, None, f"{what}: not an HTTP answer")
    status = int(match[1])
    ours = _OURS.search(head)
    if ours is not None:
        fault = FAULTS.get(ours[1].decode())
        # Who has no hands free is there; that more is asked of it than it may take is no fault of its routes.
        busy = fault in (BUSY, TOO_MANY)
        return ProofResult(busy, status, f"{what}: {status} ({fault.why if fault else ours[1].decode()})")
    return ProofResult(status < 500, status, f"{what}: {status}")


async def _final_head(reader: asyncio.StreamReader) -> bytes:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 1"):
            return head


async def _drain(reader: asyncio.StreamReader) -> None:
    left = _ENOUGH
    while left > 0 and (data := await reader.read(65536)):
        left -= len(data)
