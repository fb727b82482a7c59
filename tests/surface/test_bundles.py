"""Uploads, as curl and as a program sends them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from minipaas.model.config import Config, LimitsConfig
from minipaas.model.errors import NoSpace
from minipaas.model.units import Size
from minipaas.surface.limits import Limits
from tests.registry.made import digest, put_blob, release
from tests.surface.small import SmallBox, small_box


async def curl(*arguments: str) -> tuple[int, str]:
    """The status and the body that curl got."""
    process = await asyncio.create_subprocess_exec(
        "curl",
        "-sS",
        "--max-time",
        "30",
        "-w",
        "\n%{http_code}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"]},
    )
    out, _ = await process.communicate()
    body, _, status = out.decode().rpartition("\n")
    return int(status), body


async def test_an_upload_by_curl_on_the_socket_and_on_tcp(box: SmallBox, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    file = tmp_path / "shop.bundle"
    file.write_bytes(content)
    status, body = await curl("--unix-socket", str(box.socket), "-T", str(file), "http://box/api/v1/bundles")
    assert status == 202
    assert '"app":"shop"' in body
    assert '"version":"1.1"' in body
    assert '"events":"/api/v1/changes/1/events"' in body
    assert '"page":"/apps/shop#change-1"' in body
    secret = await box.registry.add_token("ci", "deploy", 1.0, actor="test", origin="test")
    bearer = f"Authorization: Bearer {secret}"
    status, _ = await curl("-H", bearer, "-T", str(file), f"{box.url}/api/v1/bundles")
    assert status == 202
    assert box.control.uploaded == [(hashlib.sha256(content).hexdigest(), len(content), False)] * 2


async def send(box: SmallBox, head: str, *later: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(str(box.socket))
    writer.write(f"PUT /api/v1/bundles HTTP/1.1\r\nHost: box\r\n{head}\r\n".encode())
    for part in later:
        writer.write(part)
    return reader, writer


async def head_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(60):
        return await reader.readuntil(b"\r\n\r\n")


async def test_a_body_is_asked_for_when_it_is_wanted(box: SmallBox) -> None:
    reader, writer = await send(box, "Content-Length: 5\r\nExpect: 100-continue\r\n")
    assert await head_of(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"12345")
    assert (await head_of(reader)).startswith(b"HTTP/1.1 202 ")
    assert box.control.uploaded[0][1] == 5
    writer.close()


@pytest.mark.parametrize(
    ("refusal", "length", "status"),
    [("no space", 5, b"507"), ("too large", 10**12, b"413")],
)
async def test_a_refused_upload_is_refused_before_its_bulk(
    box: SmallBox, refusal: str, length: int, status: bytes
) -> None:
    if refusal == "no space":
        box.control.refuse_uploads = NoSpace("cannot accept the bundle: the disk is full")
    reader, writer = await send(box, f"Content-Length: {length}\r\nExpect: 100-continue\r\n")
    assert (await head_of(reader)).startswith(b"HTTP/1.1 " + status)
    writer.close()


async def test_without_a_token_not_one_byte_is_asked_for(box: SmallBox) -> None:
    host, port = box.surface.addresses[0]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"PUT /api/v1/bundles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n"
    )
    assert (await head_of(reader)).startswith(b"HTTP/1.1 401 ")
    writer.close()


async def test_an_unknown_expectation_is_refused(box: SmallBox) -> None:
    reader, writer = await send(box, "Content-Length: 5\r\nExpect: 200-ok\r\n")
    assert (await head_of(reader)).startswith(b"HTTP/1.1 417 ")
    writer.close()


async def test_a_sender_that_does_not_wait_still_hears_the_refusal(tmp_path: Path) -> None:
    config = Config(limits=LimitsConfig(bundle=Size(1000)))
    async with small_box(tmp_path, config, Limits(shutdown=0.2)) as box, box.local() as session:
        async with session.put("/api/v1/bundles", data=b"x" * 2_000_000) as response:
            assert response.status == 413
        assert box.control.uploaded == []


async def test_an_upload_that_breaks_off_leaves_nothing(box: SmallBox) -> None:
    _, writer = await send(box, "Content-Length: 1000\r\n", b"only this")
    await writer.drain()
    writer.close()
    async with box.local() as session, session.get("/api/v1/changes") as response:
        assert (await response.json())["changes"] == []
    assert box.control.uploaded == []


async def test_an_upload_without_a_body_is_refused(box: SmallBox) -> None:
    reader, writer = await send(box, "")
    assert (await head_of(reader)).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_chunked_uploads_are_taken(box: SmallBox) -> None:
    async def parts():  # type: ignore[no-untyped-def]
        for _ in range(10):
            yield b"x" * 1000

    async with box.local() as session, session.put("/api/v1/bundles", data=parts()) as response:
        assert response.status == 202
    assert box.control.uploaded[0][1] == 10_000


async def test_the_same_bundle_again_answers_with_a_change_again(box: SmallBox) -> None:
    box.control.next = release(3)
    async with box.local() as session:
        answers = []
        for _ in range(2):
            async with session.put("/api/v1/bundles", data=b"x") as response:
                answers.append((response.status, (await response.json())["version"]))
    assert answers == [(202, "1.3"), (202, "1.3")]


async def test_what_a_sender_need_not_send(box: SmallBox) -> None:
    have, lack = put_blob(box.control.blobs, b"a layer"), digest("another")
    async with await box.remote("deploy") as session:
        async with session.post("/api/v1/bundles/missing", json={"digests": [have, lack]}) as response:
            assert await response.json() == {"missing": [lack]}
        async with session.post("/api/v1/bundles/missing", json={"digests": ["sha256:short"]}) as response:
            assert response.status == 400
        async with session.post("/api/v1/bundles/missing", json={"digests": [digest(str(n)) for n in range(800)]}) as r:
            assert r.status == 200, "the largest list fits into the largest body"
