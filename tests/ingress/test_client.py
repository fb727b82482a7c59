"""What a client sends, byte by byte, and what reaches the instance."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minipaas.ingress import Ingress

from .peers import CLOSE, GET, OK, PATIENCE, Town, field, read_answer, small, status, until, yielding

POST = b"POST /p HTTP/1.1\r\nHost: shop.local\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = (
    b"POST /c HTTP/1.1\r\nHost: shop.local\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
)
TRAILERS = (
    b"POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n"
)
ABSOLUTE = b"GET http://shop.local/abs?q HTTP/1.1\r\nHost: ignored\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: shop.local\r\nConnection: close\r\n\r\n"

SESSIONS = {
    "get": ([GET], [b""]),
    "post": ([POST], [b"hello"]),
    "chunks": ([CHUNKS], [b"hello"]),
    "trailers": ([TRAILERS], [b"hello"]),
    "absolute": ([ABSOLUTE], [b""]),
    "empty line first": ([b"\r\n" + GET], [b""]),
    "all at once": (
        [GET, POST, CHUNKS, GET, TRAILERS, POST, ABSOLUTE],
        [b"", b"hello", b"hello", b"", b"hello", b"hello", b""],
    ),
}


@pytest.mark.parametrize("session", SESSIONS)
async def test_a_session_cut_at_any_byte_is_the_same_session(town: Town, session: str) -> None:
    requests, bodies = SESSIONS[session]
    server = await town.answer(OK)
    wire = b"".join(requests) + LAST
    step = 1 if len(wire) < 250 else 7
    ways = [[wire], *([wire[:cut], wire[cut:]] for cut in range(1, len(wire), step))]
    ways.append([wire[at : at + 1] for at in range(len(wire))])
    for pieces in ways:
        server.heads.clear()
        server.bodies.clear()
        answers = await town.say(*pieces)
        assert answers.count(b"HTTP/1.1 200 OK\r\n") == answers.count(b"ok") == len(bodies) + 1
        assert server.bodies == [*bodies, b""]
        assert all(field(head, "x-forwarded-for") == "127.0.0.1" for head in server.heads)
    assert town.ingress.counters().refused == 0


async def test_the_connection_stays_on_both_sides(town: Town) -> None:
    server = await town.answer(OK)
    reader, writer = await town.connect()
    for _ in range(20):
        writer.write(GET)
        head, body = await read_answer(reader)
        assert (status(head), body, field(head, "connection")) == (200, b"ok", None)
    assert server.connections == 1
    writer.close()


async def test_pipelined_requests_are_answered_one_after_the_other(town: Town) -> None:
    under_way = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way
        while line := await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            under_way += 1
            assert under_way == 1
            await yielding()
            under_way -= 1
            path = line.split()[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(path) + path)

    await town.serve(handler)
    wire = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(200)) + LAST
    answers = await town.say(wire)
    paths = [part.partition(b"HTTP/1.1")[0] for part in answers.split(b"\r\n\r\n")[1:]]
    assert paths == [b"/%d" % number for number in range(200)] + [b"/last"]


async def test_thousands_of_pipelined_errors_are_all_answered(town: Town) -> None:
    answers = await town.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3000 + LAST)
    assert answers.count(b"HTTP/1.1 404 Not Found") == 3001


async def test_an_http_1_0_client_gets_one_answer_and_the_end(town: Town) -> None:
    server = await town.answer(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: 1\r\n\r\n"
    )
    answer = await town.say(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nabcde")
    assert field(answer, "transfer-encoding") is None and field(answer, "connection") == "close"
    assert server.heads[0].startswith(b"GET /x HTTP/1.1\r\nHost: localhost\r\n")


async def test_connection_close_is_kept_to_both_ways(town: Town) -> None:
    server = await town.answer(OK)
    answer = await town.say(CLOSE)
    assert field(answer, "connection") == "close"
    assert field(server.heads[0], "connection") is None


REFUSED = {
    "both lengths": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "space before colon": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\n", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "folding": (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
    "two empty lines first": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "long address": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "large head": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000 + b"\r\n\r\n", 431),
    "endless head": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000, 431),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_bad_request_is_answered_and_nothing_behind_it_is_read(town: Town, case: str) -> None:
    wire, expected = REFUSED[case]
    server = await town.answer(OK)
    answer = await town.say(wire + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status(answer) == expected
    assert answer.count(b"X-Minipaas: ") == 1 and b"200 OK" not in answer
    assert field(answer, "connection") == "close"
    assert server.heads == []
    assert town.ingress.counters().refused == 1


@pytest.mark.parametrize("pieces", [[b"\r\n", b"\r\n"], [b"\r\n\r", b"\n"], [b"\r", b"\n", b"\r", b"\n"]])
async def test_one_empty_line_before_a_request_is_enough_however_they_arrive(town: Town, pieces: list[bytes]) -> None:
    server = await town.answer(OK)
    assert status(await town.say(*pieces, GET)) == 400
    assert server.heads == []


async def test_a_good_request_before_a_bad_one_is_answered_first(town: Town) -> None:
    server = await town.answer(OK)
    answers = await town.say(GET + b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + GET)
    assert answers.startswith(OK)
    assert status(answers[len(OK) :]) == 400
    assert len(server.heads) == 1


@pytest.mark.parametrize("bad", [b"zz\r\n", b"5\r\nhelloworld", b"5\nhello", b"0\r\nno colon\r\n\r\n"])
async def test_a_broken_chunked_body_reaches_no_second_request(town: Town, bad: bytes) -> None:
    seen = asyncio.Event()
    rest = b""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal rest
        await reader.readuntil(b"\r\n\r\n")
        rest = await reader.read(-1)
        seen.set()

    await town.serve(handler)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    answer = await town.say(head, bad + b"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status(answer) == 400 and field(answer, "connection") == "close"
    await asyncio.wait_for(seen.wait(), PATIENCE)
    assert b"smuggled" not in rest and not rest.endswith(b"0\r\n\r\n")


async def test_a_body_that_breaks_after_an_early_answer_ends_both_connections(town: Town) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await reader.read(-1)

    server = await town.serve(handler)
    reader, writer = await town.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await reader.readuntil(b"3\r\nabc\r\n")
    writer.write(b"nonsense\r\n")
    assert await asyncio.wait_for(reader.read(-1), PATIENCE) == b""
    await until(lambda: server.open == 0, "the end of the instance's connection")
    writer.close()


async def test_expect_continue_is_between_client_and_instance(town: Town) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert field(head, "expect") == "100-continue"
        if head.startswith(b"PUT"):
            writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(5)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n" + body)

    await town.serve(handler)
    fields = b"Host: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    reader, writer = await town.connect()
    writer.write(b"POST / HTTP/1.1\r\n" + fields)
    assert await read_answer(reader) == (b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    writer.write(b"hello")
    head, body = await read_answer(reader)
    assert (status(head), body) == (200, b"hello")
    writer.write(b"PUT / HTTP/1.1\r\n" + fields)
    head, _ = await read_answer(reader)
    assert status(head) == 413 and field(head, "connection") == "close"
    assert await reader.read() == b""
    writer.close()


async def test_an_answer_before_the_end_of_the_body_ends_the_connection(town: Town) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.read(-1)

    server = await town.serve(handler)
    reader, writer = await town.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nonly this")
    answer = await asyncio.wait_for(reader.read(-1), PATIENCE)
    assert status(answer) == 200 and field(answer, "connection") == "close" and answer.endswith(b"ok")
    writer.close()
    await until(lambda: server.open == 0, "the end of the instance's connection")


async def test_a_client_that_leaves_takes_its_request_with_it(town: Town) -> None:
    started = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        started.set()
        await reader.read(-1)

    server = await town.serve(handler)
    _, writer = await town.connect()
    writer.write(GET)
    await asyncio.wait_for(started.wait(), PATIENCE)
    assert town.ingress.counters().instances == {server.name: 1}
    writer.close()
    await until(lambda: server.open == 0, "the end of the instance's connection")
    counters = town.ingress.counters()
    assert counters.instances == {server.name: 0} and counters.routes[0].in_flight == 0
    assert counters.routes[0].broken == 1


LATE = {
    "head": (b"GET / HTTP/1.1\r\nHost", 408, {"head_time": 0.05}),
    "body": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel", 408, {"body_gap": 0.05}),
    "chunks": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", 408, {"body_gap": 0.05}),
    "answer": (CLOSE, 504, {"first_byte": 0.05}),
}


@pytest.mark.parametrize("case", LATE)
async def test_nobody_waits_for_ever(case: str) -> None:
    wire, expected, limits = LATE[case]
    async with Town(Ingress(small(**limits))) as town:

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(-1)

        server = await town.serve(handler)
        answer = await town.say(wire)
        assert status(answer) == expected and answer.count(b"HTTP/1.1") == 1
        await until(lambda: server.open == 0, "the end of the instance's connection")


async def test_an_idle_connection_ends_without_a_word() -> None:
    async with Town(Ingress(small(keep_alive=1.0))) as town:
        await town.answer(OK)
        assert await town.say() == b""
        assert await town.say(GET) == OK


async def test_a_head_that_drips_is_late_all_the_same() -> None:
    async with Town(Ingress(small(head_time=0.2))) as town:
        reader, writer = await town.connect()

        async def drip() -> None:
            for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 10000:
                writer.write(bytes((byte,)))
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip(), name="drip")
        answer = await asyncio.wait_for(reader.read(-1), PATIENCE)
        dripping.cancel()
        assert status(answer) == 408
        writer.close()


async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    async with Town(Ingress(small(send_gap=0.1))) as town:

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            for _ in range(1000):
                writer.write(bytes(100_000))
                await writer.drain()

        server = await town.serve(handler)
        _, writer = await town.connect()
        writer.write(GET)
        await until(lambda: server.connections == 1, "the request")
        await until(lambda: server.open == 0, "the cut")
        assert town.ingress.counters().connections == 0
        writer.close()


async def test_idle_clients_make_room_and_busy_ones_do_not() -> None:
    async with Town(Ingress(small(connections=16))) as town:
        release = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readuntil(b"\r\n\r\n"):
                await release.wait()
                writer.write(OK)

        await town.serve(handler)
        idle = [await town.connect() for _ in range(16)]
        await until(lambda: town.ingress.counters().connections == 16)
        busy = []
        for _ in range(16):
            reader, writer = await town.connect()
            writer.write(GET)
            busy.append((reader, writer))
        await until(lambda: town.ingress.counters().routes[0].in_flight == 16, "16 busy clients")
        for reader, _ in idle:
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        answer = await town.say()
        assert status(answer) == 503 and field(answer, "retry-after") == "2"
        assert town.ingress.counters().turned_away == 1
        release.set()
        for reader, writer in busy:
            assert status((await read_answer(reader))[0]) == 200
            writer.close()
        for _, writer in idle:
            writer.close()


REQUESTS = st.lists(st.sampled_from([GET, POST, CHUNKS, TRAILERS, ABSOLUTE]), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests=REQUESTS, data=st.data())
def test_any_session_cut_anywhere(requests: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(requests) + LAST
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=10)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

    async def session() -> None:
        async with Town(Ingress()) as town:
            server = await town.answer(OK)
            answers = await town.say(*pieces)
            assert answers.count(b"HTTP/1.1 200 OK\r\n") == len(requests) + 1
            assert server.bodies == [b"hello" if b"POST" in request else b"" for request in requests] + [b""]

    asyncio.run(session())


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    noise=st.lists(
        st.sampled_from(
            [GET, POST, CHUNKS, b"\r\n", b"\r\n\r\n", b"\n", b" ", b"Content-Length: 3\r\n", b"0\r\n\r\n", b"\x00"]
        )
        | st.binary(max_size=12),
        min_size=1,
        max_size=8,
    )
)
def test_noise_gets_answers_or_an_end_and_leaves_nothing_behind(noise: list[bytes]) -> None:
    async def session() -> None:
        async with Town(Ingress(small(head_time=0.1, body_gap=0.1, keep_alive=0.1))) as town:
            await town.answer(OK)
            answers = await town.say(*noise)
            assert not answers or answers.startswith(b"HTTP/1.1 ")
            await until(lambda: town.ingress.counters().connections == 0, "the end")
            assert all(count == 0 for count in town.ingress.counters().instances.values())
            assert town.ingress.counters().routes[0].in_flight == 0

    asyncio.run(session())


async def test_an_instance_gets_the_trace_as_the_client_sent_it_and_none_that_it_did_not_send(town: Town) -> None:
    server = await town.answer(OK)
    parent = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
    state = b"tracestate: congo=t61rcWkgMzE,rojo=00f067aa0ba902b7\r\n"
    traced = GET.removesuffix(b"\r\n") + parent + state + b"\r\n"
    await town.say(traced, LAST)
    assert field(server.heads[0], "traceparent") == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert field(server.heads[0], "tracestate") == "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
    assert b"trace" not in server.heads[1].lower()
