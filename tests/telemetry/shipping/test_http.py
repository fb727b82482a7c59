"""Over HTTP: TLS and whom to trust, credentials that nobody gets to see, and answers of every kind."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from minipaas.model.shipping import Kind, ShipState
from tests.certs.made import OtherCa
from tests.telemetry.shipping.receivers import Elastic, Misbehave, answers
from tests.telemetry.shipping.site import Site, config


@pytest.fixture
def ca() -> OtherCa:
    return OtherCa()


@pytest.fixture
async def elastic() -> AsyncIterator[Elastic]:
    one = Elastic()
    await one.start()
    yield one
    await one.stop()


async def send(tmp_path: Path, url: str, *, fails: bool, **more: object) -> ShipState:
    """One line; how it went."""
    async with Site(tmp_path, config(Kind.ELASTICSEARCH, url, **more)).running() as site:
        site.write("hello")
        return await site.until_state(lambda one: one.failing if fails else one.lines)


async def secure(ca: OtherCa, path: Path, name: str = "localhost", *, mutual: bool = False, age: int = 1) -> Elastic:
    """One that speaks TLS."""
    pair = ca.file(path, name, now=time.time() - age * 86400)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair)
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=ca.pem.decode())
    one = Elastic(context)
    await one.start()
    return one


async def test_with_a_ca_of_ones_own_and_a_certificate_to_show(tmp_path: Path, ca: OtherCa) -> None:
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    mine = ca.file(tmp_path / "mine.pem", "edge1", now=time.time() - 86400)
    receiver = await secure(ca, tmp_path / "server.pem", mutual=True)
    try:
        state = await send(tmp_path, receiver.url, fails=False, ca=str(tmp_path / "ca.pem"), cert=str(mine))
        assert receiver.lines() == ["hello"]
    finally:
        await receiver.stop()
    assert state.error == ""


@pytest.mark.parametrize(
    ("name", "age", "trusted", "said"),
    [
        ("localhost", 1, False, "its certificate is of a CA that is not known here; name the CA's PEM file: ca"),
        ("elsewhere", 1, True, "its certificate is for another name than the one in url"),
        ("localhost", 200, True, "its certificate has ended; or the clock of this box is wrong"),
    ],
)
async def test_a_certificate_that_is_not_good(
    tmp_path: Path, ca: OtherCa, name: str, age: int, trusted: bool, said: str
) -> None:
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    receiver = await secure(ca, tmp_path / "server.pem", name, age=age)
    try:
        state = await send(tmp_path, receiver.url, fails=True, ca=str(tmp_path / "ca.pem") if trusted else "")
        assert receiver.requests == []
    finally:
        await receiver.stop()
    assert state.error == said


async def test_no_tls_where_it_is_expected(tmp_path: Path, elastic: Elastic) -> None:
    state = await send(tmp_path, elastic.url.replace("http:", "https:"), fails=True)
    assert state.error == "it does not speak TLS at that port"


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ("elastic:geheim\n", "Basic ZWxhc3RpYzpnZWhlaW0="),
        ("Bearer geheim", "Bearer geheim"),
        ("ApiKey geheim==\n", "ApiKey geheim=="),
        ("geheim", "Bearer geheim"),
    ],
)
async def test_credentials(
    tmp_path: Path, elastic: Elastic, caplog: pytest.LogCaptureFixture, content: str, header: str
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "secret"
    secret.write_text(content)
    secret.chmod(0o600)
    elastic.misbehaves = [answers(401, f"who is {header}?")]
    site = Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url, credentials=str(secret)))
    async with site.running():
        site.write("hello")
        state = await site.until_state(lambda one: one.failing or one.lines)
        await site.until(lambda: elastic.documents)
    assert {request.headers["Authorization"] for request, _ in elastic.requests} == {header}
    assert "geheim" not in caplog.text + repr(state)


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0o600, "No such file or directory"),
        ("a:b", 0o604, "everybody on this host may read it; chmod 600"),
        ("", 0o600, "it holds no credentials"),
        ("a:b\nc:d", 0o600, "it holds no credentials"),
        ("ä:b", 0o600, "it holds no credentials"),
    ],
)
async def test_credentials_that_cannot_be_used(
    tmp_path: Path, elastic: Elastic, content: str | None, mode: int, said: str
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
        secret.chmod(mode)
    state = await send(tmp_path, elastic.url, fails=True, credentials=str(secret))
    assert state.error.startswith(f"cannot use {secret}: {said}")
    assert elastic.requests == []


@pytest.mark.parametrize(
    ("misbehaves", "said"),
    [
        (answers(401), "it does not accept who we say we are (401): see credentials"),
        (answers(404, "no handler"), "it takes no logs at that address (404): see url"),
        (answers(307, Location="http://x/"), "it sends us to http://x/ (307); name the address itself: url"),
        (answers(429), "it cannot take more just now (429)"),
        (answers(500, "a\n<b>\x07"), "it fails: a <b> (500)"),
        (answers(200, "<html>"), "it answers with something that is no answer to _bulk; is that address right?"),
        (answers(200, "x" * 9 * 1024**2), "its answer is too long"),
    ],
)
async def test_what_is_told(tmp_path: Path, elastic: Elastic, misbehaves: Misbehave, said: str) -> None:
    elastic.misbehaves = [misbehaves]
    elastic.slow = 0.05
    async with Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url)).running() as site:
        site.write("hello")
        state = await site.until_state(lambda one: one.failing)
        assert state.error.startswith(said)
        await site.until(lambda: elastic.lines() == ["hello"])


async def test_it_says_when_to_come_again(tmp_path: Path, elastic: Elastic) -> None:
    elastic.misbehaves = [answers(503, Retry_After="100")]
    state = await send(tmp_path, elastic.url, fails=True)
    assert state.retry_at is not None
    assert 90 < state.retry_at - time.time() < 101


async def test_a_redirect_is_not_followed(tmp_path: Path, elastic: Elastic) -> None:
    other = Elastic()
    await other.start()
    try:
        elastic.misbehaves = [
            lambda request, body: web.Response(status=307, headers={"Location": other.url + "/_bulk"})
        ]
        async with Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url)).running() as site:
            site.write("hello")
            await site.until(lambda: elastic.lines() == ["hello"])
        assert other.requests == []
    finally:
        await other.stop()


async def test_a_path_before_and_gzip(tmp_path: Path, elastic: Elastic) -> None:
    elastic.path = "/search/_bulk"
    await send(tmp_path, f"{elastic.url}/search/", fails=False)
    request, body = elastic.requests[0]
    assert request.headers["Content-Encoding"] == "gzip"
    assert int(request.headers["Content-Length"]) < len(body)
