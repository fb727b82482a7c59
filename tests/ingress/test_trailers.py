from __future__ import annotations

import asyncio

import pytest

from minipaas.ingress import trailers

from .peers import CLOSE, OK, PATIENCE, Town, field, read_answer, status

POST = b"POST / HTTP/1.1\r\nHost: shop.local\r\n%bTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n%b\r\n"


@pytest.mark.parametrize(
    "name", [b"X-Sum", b"Digest", b"ETag", b"Server-Timing", b"grpc-status", b"x-amz-checksum-sha256"]
)
def test_what_is_said_of_a_body_may_stand_behind_it(name: bytes) -> None:
    assert trailers.may_pass(name, {b"x-hop"})


@pytest.mark.parametrize(
    "name",
    [
        *(
            b"Content-Length",
            b"transfer-encoding",
            b"Connection",
            b"TE",
            b"Trailer",
            b"Upgrade",
            b"Keep-Alive",
            b"Expect",
        ),
        *(b"Host", b"Forwarded", b"X-Forwarded-For", b"X-Real-IP", b"X-Minipaas", b"Strict-Transport-Security"),
        *(b"Authorization", b"Proxy-Authorization", b"Cookie", b"Set-Cookie", b"If-Match", b"Range", b"Cache-Control"),
        *(b"Content-Type", b"Content-Encoding", b"Location", b"Access-Control-Allow-Origin", b"Sec-WebSocket-Key"),
        *(b"content_length", b"X_Forwarded_For", b"x-hop"),
    ],
)
def test_what_belongs_into_a_head_may_not(name: bytes) -> None:
    assert not trailers.may_pass(name, {b"x-hop"})


async def test_of_a_request_they_reach_the_instance(town: Town) -> None:
    got = b""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        got = (
            await reader.readuntil(b"\r\n\r\n") + await reader.readuntil(b"0\r\n") + await reader.readuntil(b"\r\n\r\n")
        )
        writer.write(OK)

    await town.serve(handler)
    reader, writer = await town.connect()
    fields = b"Trailer: X-Sum, Host\r\nConnection: x-hop\r\n"
    writer.write(POST % (fields, b"X-Sum: 1\r\nHost: other\r\nX-Hop: 1\r\nX-Forwarded-For: 1.2.3.4\r\n"))
    assert status((await read_answer(reader))[0]) == 200
    assert field(got, "trailer") == "X-Sum"
    assert got.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("more", [b"X: 1\r\n" * 65, b"X: " + b"a" * 9000 + b"\r\n"])
async def test_too_many_of_a_request_are_431(town: Town, more: bytes) -> None:
    broken = asyncio.Event()
    got = b""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        try:
            got = await reader.read(-1)
        finally:
            broken.set()

    await town.serve(handler)
    answer = await town.say(POST % (b"", more), b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status(answer), field(answer, "x-minipaas")) == (431, "request.trailers")
    assert field(answer, "connection") == "close"
    async with asyncio.timeout(PATIENCE):
        await broken.wait()
    assert b"smuggled" not in got and not got.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


ANSWER = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum, Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n%b\r\n"


async def test_of_an_answer_they_reach_the_client(town: Town) -> None:
    await town.answer(ANSWER % b"X-Sum: 1\r\nSet-Cookie: a=b\r\nX-Minipaas: forged\r\n")
    answer = await town.say(CLOSE)
    assert field(answer, "trailer") == "X-Sum"
    assert answer.endswith(b"\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")
    old = await town.say(CLOSE.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert field(old, "trailer") is None and old.endswith(b"\r\n\r\nok")


@pytest.mark.parametrize("more", [b"X: 1\r\n" * 65, b"X : 1\r\n", b" folded\r\n", b"X: a\nY: b\r\n"])
async def test_an_answer_with_others_never_looks_whole(town: Town, more: bytes) -> None:
    await town.answer(ANSWER % more)
    answer = await town.say(CLOSE)
    assert status(answer) == 200 and not answer.endswith(b"\r\n0\r\n\r\n") and b"X: " not in answer
