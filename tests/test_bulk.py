"""Bodies of a gigabyte through a box, up and down, with and without TLS: its memory stays what it was."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import uvloop

from tests.takeover.steady import Served, served

SIZE = 1_000_000_000
PIECE = bytes(256 * 1024)
PATIENCE = 120
"""Seconds for a gigabyte."""
GROWTH = 8_000_000
"""Bytes; what a proxy that keeps a body, or lets one pile up, is far beyond."""
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n%b\r\n\r\n"


class App(asyncio.Protocol):
    """An app that sends a body of SIZE to a GET, in chunks or with its length, and counts the bytes of a POST."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._head = b""
        self._got = 0
        self._end = b""
        self._left = 0
        self._chunked = False
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._head:
            self._head, _, data = data.partition(b"\r\n\r\n")
            if self._head.startswith(b"GET"):
                self._chunked = b"/chunks" in self._head
                self._left = 0 if self._head.startswith(b"GET / ") else SIZE
                coding = b"Transfer-Encoding: chunked" if self._chunked else b"Content-Length: %d" % self._left
                self._transport.write(HEAD % coding)
                self._send()
                return
            self._chunked = b"\r\ntransfer-encoding: chunked" in self._head.lower()
        self._got += len(data)
        self._end = (self._end + data[-7:])[-7:]
        if self._end == b"\r\n0\r\n\r\n" if self._chunked else self._got == SIZE:
            told = b"%d" % self._got
            self._transport.write(HEAD % (b"Content-Length: %d" % len(told)) + told)
            self._transport.close()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._send()

    def _send(self) -> None:
        while self._left and not self._full:
            piece = PIECE[: self._left]
            self._left -= len(piece)
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)
            if not self._left:
                self._transport.write(b"0\r\n\r\n" if self._chunked else b"")
                self._transport.close()


@contextlib.asynccontextmanager
async def bulky(tmp_path: Path) -> AsyncIterator[Served]:
    """A box in a process of its own, with that app."""
    server = await asyncio.get_running_loop().create_server(App, "127.0.0.1", 0)
    async with server, served(tmp_path, tls=True, more='[tls]\nplain = ["shop.local"]\n') as box:
        await box.deploy(fake=f"elsewhere={server.sockets[0].getsockname()[1]}")
        yield box


async def curl(box: Served, path: str, *more: str) -> tuple[str, int]:
    """What was said, and how many bytes more the box held at its worst moment than before."""
    assert box.process is not None
    proc = Path(f"/proc/{box.process.pid}")
    (proc / "clear_refs").write_text("5")
    before = memory(proc, "VmRSS")
    scheme, port = ("https", box.secure) if "-k" in more else ("http", box.ingress)
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "--noproxy", "*", "--max-time", str(PATIENCE), "-H", "Host: shop.local", "-H", "Expect:"),
        *("--connect-to", f"shop.local:{port}:127.0.0.1:{port}", *more, f"{scheme}://shop.local:{port}{path}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return said.decode(), memory(proc, "VmHWM") - before


def memory(proc: Path, what: str) -> int:
    (line,) = (one for one in (proc / "status").read_text().splitlines() if one.startswith(f"{what}:"))
    return int(line.split()[1]) * 1024


CHUNKS = ("-H", "Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("secure", "paths", "codings"),
    [((), ("/length", "/chunks"), ((), CHUNKS)), (("-k",), ("/chunks",), ((),))],
    ids=["http", "https"],
)
def test_a_gigabyte_costs_no_memory(
    tmp_path: Path, secure: tuple[str, ...], paths: tuple[str, ...], codings: tuple[tuple[str, ...], ...]
) -> None:
    file = tmp_path / "file"
    with file.open("wb") as made:
        made.truncate(SIZE)
    down = ("-o", "/dev/null", "-w", "%{http_code} %{size_download}")

    async def story() -> None:
        async with bulky(tmp_path) as box:
            for path in paths:
                said, grown = await curl(box, path, *secure, *down)
                assert said == f"200 {SIZE}"
                assert grown < GROWTH, (path, grown)
            for coding in codings:
                said, grown = await curl(box, "/up", *secure, *coding, "-T", str(file), "-X", "POST")
                assert int(said) >= SIZE
                assert grown < GROWTH, (coding, grown)

    uvloop.run(story())
