"""Syslog: as the RFCs want it, and over real rsyslog with and without TLS."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minipaas.model.logs import Line, Stream
from minipaas.model.shipping import Kind
from minipaas.telemetry.shipping.origin import Origin
from minipaas.telemetry.shipping.syslog import Syslog
from tests.certs.made import OtherCa, key_pem, pem
from tests.telemetry.logs.conmon import START, source
from tests.telemetry.shipping.rsyslog import Rsyslog
from tests.telemetry.shipping.site import Site, config

ORIGIN = Origin("0123456789abcdef", "edge 1")


def numbered(begin: int, end: int) -> list[str]:
    return [f"line {number}" for number in range(begin, end)]


def encode(text: bytes, stream: Stream = Stream.STDOUT, *, synced: bool = True) -> bytes:
    line = Line(START + 123_456_789, 77, stream, text, source("c1"))
    return Syslog(ORIGIN, lambda: synced).encode([line])


def frames(data: bytes) -> list[bytes]:
    """Octet counting undone."""
    found = []
    while data:
        size, _, rest = data.partition(b" ")
        found.append(rest[: int(size)])
        data = rest[int(size) :]
    return found


@pytest.mark.parametrize(
    ("text", "stream", "priority"),
    [
        (b"hello", Stream.STDOUT, 134),
        (b"hello", Stream.STDERR, 131),
        (b'{"level":"debug"}', Stream.STDERR, 135),
        (b"level=fatal", Stream.STDOUT, 130),
        (b"dropped 7 lines", Stream.MINIPAAS, 132),
    ],
)
def test_a_message(text: bytes, stream: Stream, priority: int) -> None:
    head = f"<{priority}>1 2026-11-24T10:40:58.123456Z edge1 shop shop-web-c1 {stream} "
    told = 'app="shop" service="web" instance="shop-web-c1" release="1"'
    fields = f'[minipaas@32473 {told} id="0123456789ab-c1-18eaf511c4ac9115-77"] '
    assert frames(encode(text, stream)) == [head.encode() + fields.encode() + text]


def test_a_clock_that_nobody_keeps_right_is_told() -> None:
    assert b' stdout [timeQuality tzKnown="1" isSynced="0"][minipaas@32473 ' in encode(b"x", synced=False)


def test_a_long_line_becomes_several_messages_and_no_character_is_cut() -> None:
    text = ("ä€😀" * 5000).encode()
    found = frames(encode(text))
    assert len(found) > 5
    texts = [one.partition(b"] ")[2] for one in found]
    assert b"".join(texts) == text
    assert all(part.decode() for part in texts)
    assert f'part="2/{len(found)}"'.encode() in found[1]


def test_bytes_and_newlines_survive() -> None:
    assert frames(encode(b"\xff\x00\nx\r"))[0].endswith(b"] \xff\x00\nx")


@pytest.fixture
def ca() -> OtherCa:
    return OtherCa()


@pytest.fixture(params=["tcp", "tls"])
async def server(request: pytest.FixtureRequest, tmp_path: Path, ca: OtherCa) -> AsyncIterator[Rsyslog]:
    pair = None
    if request.param == "tls":
        pair = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem"
        certificate, key = ca.issue("localhost", now=time.time() - 86400)
        for path, content in zip(pair, (pem(certificate), key_pem(key), ca.pem), strict=True):
            path.write_bytes(content)
    one = Rsyslog(tmp_path / "rsyslog", pair)
    await one.start()
    yield one
    await one.stop(signal.SIGKILL)


def site_of(tmp_path: Path, server: Rsyslog, **more: object) -> Site:
    ca = tmp_path / "ca.pem"
    scheme = "tls" if ca.exists() else "tcp"
    given = {"ca": str(ca)} if ca.exists() else {}
    return Site(tmp_path, config(Kind.SYSLOG, f"{scheme}://localhost:{server.port}", **{**given, **more}))


async def test_rsyslog_gets_every_line(tmp_path: Path, server: Rsyslog) -> None:
    site = site_of(tmp_path, server)
    async with site.running():
        site.write(*numbered(0, 2000))
        site.write("to stderr: ä", stream="stderr", container="c2", app="blog")
        site.write("x" * 20_000, container="c2", app="blog")
        await site.until(lambda: len(server.messages()) >= 2004)
    (error,) = [one for one in server.messages() if one["stream"] == "stderr"]
    assert (error["app"], error["instance"], error["severity"], error["message"].strip()) == (
        "blog",
        "blog-web-c2",
        "err",
        "to stderr: ä",
    )
    assert 'service="web"' in error["fields"]
    assert [one for one in server.lines() if one.startswith("line")] == numbered(0, 2000)
    assert "".join(one for one in server.lines() if one.startswith("x")) == "x" * 20_000
    async with site.running():  # all was safe: rsyslog had read to the end
        assert (await site.state()).behind_bytes == 0
    assert len(server.messages()) == 2004


async def test_rsyslog_is_away_and_killed(tmp_path: Path, server: Rsyslog) -> None:
    site = site_of(tmp_path, server)
    async with site.running():
        site.write(*numbered(0, 1000))
        await site.until(lambda: len(server.messages()) >= 1000)
        await server.stop(signal.SIGKILL)
        site.write(*numbered(1000, 2000))
        await site.until_state(lambda one: one.failing)
        assert (await site.state()).lines <= 1000
    async with site.running(kill=True):
        site.write(*numbered(2000, 3000))
        await site.until_state(lambda one: one.failing)
    await server.start()
    async with site.running():
        site.write(*numbered(3000, 4000))
        await site.until(lambda: len(server.lines()) == 4000)
        state = await site.until_state(lambda one: not one.failing)
    assert server.lines() == numbered(0, 4000)
    assert state.refused == state.lost == 0


async def test_what_a_hanging_rsyslog_had_not_read_comes_again(tmp_path: Path, server: Rsyslog) -> None:
    site = site_of(tmp_path, server)
    async with site.running():
        site.write(*numbered(0, 100))
        await site.until(lambda: len(server.messages()) >= 100)
        server.hang()
        site.write(*numbered(100, 300))  # its kernel takes these
        await site.until_state(lambda one: one.sent_bytes > 300 * 100)
        await server.stop(signal.SIGKILL)  # and throws them away
        await server.start()
        await site.until(lambda: len(server.lines()) == 300)
    assert server.lines() == numbered(0, 300)


async def test_a_certificate_that_is_not_good_is_told(tmp_path: Path, ca: OtherCa) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(OtherCa("Somebody").pem)
    root = tmp_path / "root.pem"
    root.write_bytes(ca.pem)
    for names, age, judge, said in (
        (("localhost",), 1, other, "of a CA that is not known here; name the CA's PEM file: ca"),
        (("elsewhere.example",), 1, root, "for another name than the one in url"),
        (("localhost",), 200, root, "has ended; or the clock of this box is wrong"),
    ):
        place = tmp_path / f"{len(said)}"
        place.mkdir()
        certificate, key = ca.issue(*names, now=time.time() - age * 86400)
        pair = place / "cert.pem", place / "key.pem", root
        pair[0].write_bytes(pem(certificate))
        pair[1].write_bytes(key_pem(key))
        server = Rsyslog(place / "rsyslog", pair)
        await server.start()
        try:
            site = Site(place, config(Kind.SYSLOG, f"tls://localhost:{server.port}", ca=str(judge)))
            async with site.running():
                site.write("hello")
                state = await site.until_state(lambda one: one.failing)
            assert state.error.startswith("its certificate")
            assert said in state.error
            assert server.messages() == []
        finally:
            await server.stop(signal.SIGKILL)
