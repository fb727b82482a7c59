"""What an instance answers, byte by byte, and what reaches the client."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minipaas.ingress import Ingress

from .peers import CLOSE, GET, OK, PATIENCE, Handler, Town, field, read_answer, small, status, until, yielding

HEAD = b"HEAD / HTTP/1.1\r\nHost: shop.local\r\n\r\n"


def in_pieces(*pieces: bytes, close: bool = False) -> Handler:
    """Answer every request with these pieces, each its own packet."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await yielding()
            if close:
                return

    return handler


ANSWERS: dict[str, tuple[bytes, bytes, bytes, bool]] = {
    # what the instance sends, the request, what the body is, whether the instance closes then
    "length": (OK, GET, b"ok", False),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", GET, b"", False),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n",
        GET,
        b"abcd",
        False,
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n",
        GET,
        b"ab",
        False,
    ),
    "until close": (b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nto the end", GET, b"to the end", True),
    "old server": (b"HTTP/1.0 200 OK\r\n\r\nto the end", GET, b"to the end", True),
    "old server with length": (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", GET, b"old", True),
    "no content": (b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", GET, b"", False),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n", GET, b"", False),
    "head": (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", HEAD, b"", False),
    "head, chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HEAD, b"", False),
    "early hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, GET, b"ok", False),
    "two hints": (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK, GET, b"ok", False),
    "closing": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", GET, b"ok", True),
}


async def final(reader: asyncio.StreamReader, bodyless: bool) -> tuple[bytes, bytes, list[int]]:
    """The final answer and the interim statuses before it."""
    interim = []
    while True:
        head, body = await read_answer(reader, bodyless=bodyless)
        if status(head) >= 200:
            return head, body, interim
        interim.append(status(head))


@pytest.mark.parametrize("case", ANSWERS)
async def test_an_answer_cut_at_any_byte_is_the_same_answer(town: Town, case: str) -> None:
    wire, request, expected, close = ANSWERS[case]
    bodyless = case in ("no content", "not modified", "head", "head, chunked")
    ways = [[wire], *([wire[:cut], wire[cut:]] for cut in range(1, len(wire)))]
    ways.append([wire[at : at + 1] for at in range(len(wire))])
    heads = set()
    now: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            for piece in now:
                writer.write(piece)
                await yielding()
            if close:
                return

    await town.serve(handler)
    for pieces in ways:
        now = pieces
        reader, writer = await town.connect()
        for _ in range(2):  # the second one proves that the first ended where it should
            writer.write(request)
            head, body, interim = await final(reader, bodyless)
            assert (body, len(interim)) == (expected, wire.count(b"HTTP/1.1 1"))
            assert field(head, "connection") is None and field(head, "x-sum") is None
            heads.add(head)
        writer.close()
    assert len(heads) == 1


@pytest.mark.parametrize("case", ANSWERS)
async def test_an_http_1_0_client_gets_the_same_content(town: Town, case: str) -> None:
    wire, request, expected, close = ANSWERS[case]
    await town.serve(in_pieces(wire, close=close))
    answer = await town.say(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == expected
    assert status(head) >= 200 and field(head, "transfer-encoding") is None and field(head, "connection") == "close"


async def test_an_instance_that_never_comes_to_its_answer(town: Town) -> None:
    await town.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3000 + OK)
    answer = await town.say(CLOSE)
    assert b"\r\nX-Minipaas: backend.answer\r\n" in answer and not answer.endswith(OK)


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"hello, this is not HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000,
    ],
)
async def test_an_answer_that_is_not_clear_becomes_502(town: Town, wire: bytes) -> None:
    server = await town.serve(in_pieces(wire))
    reader, writer = await town.connect()
    for _ in range(2):
        writer.write(GET)
        head, _ = await read_answer(reader)
        assert (status(head), field(head, "x-minipaas")) == (502, "backend.answer")
    await until(lambda: server.open == 0, "the end of the instance's connections")
    writer.close()


@pytest.mark.parametrize("more", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"])
@pytest.mark.parametrize("late", [False, True])
async def test_what_an_instance_says_unasked_is_never_the_next_answer(town: Town, more: bytes, late: bool) -> None:
    pieces = (OK, more) if late else (OK + more,)
    server = await town.serve(in_pieces(*pieces))
    reader, writer = await town.connect()
    for _ in range(5):
        writer.write(GET)
        head, body = await read_answer(reader)
        assert (status(head), body) == (200, b"ok")
        await until(lambda: server.open == 0, "the end of the instance's connection")
    assert server.connections == 5
    writer.close()


async def test_more_than_the_length_said_is_cut_off(town: Town) -> None:
    server = await town.serve(in_pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", b"cdHTTP/1.1 200 OK\r\n"))
    reader, writer = await town.connect()
    for _ in range(3):
        writer.write(GET)
        assert (await read_answer(reader))[1] == b"abcd"
        await until(lambda: server.open == 0, "the end of the instance's connection")
    writer.close()


async def test_an_http_1_0_client_hears_that_an_answer_broke_off(town: Town) -> None:
    await town.serve(in_pieces(CUT["chunks"], close=True))
    reader, writer = await town.connect()
    writer.write(GET.replace(b"HTTP/1.1", b"HTTP/1.0"))
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(-1), PATIENCE)
    assert town.ingress.counters().routes[0].broken == 1
    writer.close()


CUT = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nde",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
}


@pytest.mark.parametrize("case", CUT)
async def test_an_answer_that_breaks_off_does_not_look_complete(town: Town, case: str) -> None:
    await town.serve(in_pieces(CUT[case], close=True))
    answer = await town.say(GET + GET)
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.count(b"HTTP/1.1") == 1
    assert not answer.endswith(b"0\r\n\r\n")
    assert town.ingress.counters().routes[0].broken == 1


async def test_a_body_without_an_end_that_is_reset_does_not_look_complete(town: Town) -> None:
    reset = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\npart")
        await writer.drain()
        await reset.wait()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    await town.serve(handler)
    reader, writer = await town.connect()
    writer.write(GET)
    assert (await reader.readuntil(b"4\r\npart\r\n")).startswith(b"HTTP/1.1 200 OK")
    reset.set()
    assert await asyncio.wait_for(reader.read(-1), PATIENCE) == b""
    writer.close()


async def test_events_arrive_when_they_are_sent(town: Town) -> None:
    said = asyncio.Event()
    heard = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            writer.write(b"9\r\ndata: %d\n\n\r\n" % number)
            said.set()
            await heard.wait()
            heard.clear()

    await town.serve(handler)
    reader, writer = await town.connect()
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    for number in range(5):
        assert await asyncio.wait_for(reader.readexactly(14), PATIENCE) == b"9\r\ndata: %d\n\n\r\n" % number
        heard.set()
    writer.close()


async def test_an_answer_that_stops_half_way_is_cut() -> None:
    async with Town(Ingress(small(answer_gap=0.1))) as town:

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            await reader.read(-1)

        server = await town.serve(handler)
        reader, writer = await town.connect()
        writer.write(GET)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await read_answer(reader)
        await until(lambda: server.open == 0, "the end of the instance's connection")
        writer.close()


async def test_idle_connections_to_an_instance_end_after_a_while() -> None:
    async with Town(Ingress(small(upstream_keep=0.05))) as town:
        server = await town.answer(OK)
        await town.say(CLOSE)
        await until(lambda: server.open == 0, "the end of the idle connection")


async def test_an_instance_that_stays_silent_about_the_end_of_a_pooled_connection(town: Town) -> None:
    """The classic race: the instance closes an idle connection while the next request is on its way."""
    served = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        served += 1
        await reader.readuntil(b"\r\n\r\n")  # the second request on a connection is never answered

    await town.serve(handler)
    reader, writer = await town.connect()
    for number in range(1, 6):
        writer.write(GET)
        head, body = await read_answer(reader)
        assert (status(head), body, served) == (200, b"ok", number)
    assert town.ingress.counters().routes[0].retries == 4
    writer.close()


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
async def test_what_must_not_be_sent_twice_is_not_sent_over_an_old_connection(method: bytes) -> None:
    async with Town(Ingress(small(fresh=-1.0))) as town:
        received = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)
            received.append(await reader.readuntil(b"\r\n\r\n"))

        await town.serve(handler)
        reader, writer = await town.connect()
        for _ in range(4):
            writer.write(method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            assert status((await read_answer(reader))[0]) == 200
        assert len(received) == 4
        writer.close()


async def test_what_must_not_be_sent_twice_waits_for_proof_that_connections_last(town: Town) -> None:
    """An instance that closes after every answer without saying so never costs a POST; one that keeps its connections
    is soon given POSTs over them."""
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.01)

    await town.serve(closing)
    reader, writer = await town.connect()
    for _ in range(20):
        writer.write(post)
        assert status((await read_answer(reader))[0]) == 200
    keeping = await town.answer(OK)
    deadline = asyncio.get_running_loop().time() + PATIENCE
    reused = False
    while not reused and asyncio.get_running_loop().time() < deadline:
        before = keeping.connections
        writer.write(post)
        assert status((await read_answer(reader))[0]) == 200
        reused = keeping.connections == before
        await asyncio.sleep(0.05)
    assert reused
    before = keeping.connections
    for _ in range(20):
        writer.write(post)
        assert status((await read_answer(reader))[0]) == 200
    assert keeping.connections == before
    writer.close()


async def test_a_request_that_may_have_been_read_is_not_repeated(town: Town) -> None:
    seen = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))

    first = await town.serve(handler)
    second = await town.serve(handler)
    town.route("*", first, second)
    answer = await town.say(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab")
    assert (status(answer), field(answer, "x-minipaas"), len(seen)) == (502, "backend.reset", 1)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    noise=st.lists(
        st.sampled_from(
            [OK, b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n", b"2\r\nab\r\n", b"0\r\n\r\n"]
        )
        | st.binary(max_size=12),
        max_size=8,
    )
)
def test_noise_from_an_instance_never_reaches_the_next_client(noise: list[bytes]) -> None:
    async def session() -> None:
        async with Town(Ingress(small(answer_gap=10.0, first_byte=10.0))) as town:
            noisy = await town.serve(in_pieces(*noise, close=True), route="*/noisy")
            calm = await town.answer(OK, route=None)  # type: ignore[arg-type]
            await town.say(b"GET /noisy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            town.route("*", calm)
            assert (await town.say(CLOSE)).endswith(b"\r\n\r\nok")
            await until(lambda: noisy.open == 0, "the end of the noisy connection")
            assert town.ingress.counters().routes[0].in_flight == 0

    asyncio.run(session())
