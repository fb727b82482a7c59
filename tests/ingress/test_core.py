"""Which instance gets a request, and what happens when it cannot have it."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter

import pytest
from fuzzing.world import TABLES, World

from minipaas.ingress import Ingress

from .peers import CLOSE, GET, OK, PATIENCE, Town, field, read_answer, small, status, until, yielding


def naming(name: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name.encode())


async def test_requests_are_spread_evenly(town: Town) -> None:
    servers = [await town.answer(naming(name), name=name) for name in ("a", "b", "c")]
    town.route("*", *servers)
    reader, writer = await town.connect()
    bodies = []
    for _ in range(12):
        writer.write(GET)
        bodies.append((await read_answer(reader))[1].decode())
    assert Counter(bodies) == {"a": 4, "b": 4, "c": 4}
    writer.close()


async def test_a_busy_instance_gets_less(town: Town) -> None:
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            await release.wait()
            writer.write(naming("slow"))

    busy = await town.serve(slow)
    quick = await town.answer(naming("quick"))
    town.route("*", busy, quick)
    stuck = []
    for number in range(1, 9):
        reader, writer = await town.connect()
        writer.write(GET)
        await until(lambda number=number: busy.connections + len(quick.heads) == number, "a request at an instance")
        if busy.connections and not stuck:
            stuck.append((reader, writer))
        else:
            assert (await read_answer(reader))[1] == b"quick"
            writer.close()
    assert (busy.connections, len(quick.heads)) == (1, 7)
    release.set()
    for reader, writer in stuck:
        assert (await read_answer(reader))[1] == b"slow"
        writer.close()


@pytest.mark.parametrize(
    "request_", [CLOSE, CLOSE.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nhi")]
)
async def test_an_instance_that_refuses_is_passed_over(town: Town, request_: bytes) -> None:
    servers = [await town.answer(OK) for _ in range(3)]
    town.route("*", *servers)
    await servers[0].stop()
    await servers[1].stop()
    for _ in range(6):
        assert status(await town.say(request_)) == 200
    assert len(servers[2].heads) == 6
    assert town.ingress.counters().routes[0].retries >= 2


async def test_a_large_upload_waits_for_an_instance_that_accepts(town: Town) -> None:
    servers = [await town.answer(OK) for _ in range(2)]
    town.route("*", *servers)
    await servers[0].stop()
    body = b"x" * 300_000
    head = b"PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    for _ in range(2):
        assert status(await town.say(head + body)) == 200
    assert servers[1].bodies == [body, body]


async def test_when_all_refuse_it_is_said_plainly(town: Town) -> None:
    servers = [await town.answer(OK) for _ in range(2)]
    town.route("*", *servers)
    for server in servers:
        await server.stop()
    answer = await town.say(CLOSE)
    assert (status(answer), field(answer, "x-minipaas")) == (502, "backend.refused")
    counters = town.ingress.counters()
    assert set(counters.instances.values()) == {0}
    assert counters.routes[0].answers == (0, 0, 0, 0, 1)


async def test_an_instance_that_closes_without_an_answer_is_passed_over_for_what_may_be_repeated(town: Town) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    broken = await town.serve(handler)
    sound = await town.answer(OK)
    town.route("*", broken, sound)
    for _ in range(4):
        assert status(await town.say(CLOSE)) == 200
    assert broken.connections >= 1 and len(sound.heads) == 4


async def test_a_request_is_not_tried_for_ever() -> None:
    async with Town(Ingress(small(attempts=3))) as town:

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")

        servers = [await town.serve(handler) for _ in range(5)]
        town.route("*", *servers)
        answer = await town.say(CLOSE)
        assert (status(answer), field(answer, "x-minipaas")) == (502, "backend.reset")
        assert sum(server.connections for server in servers) == 3


async def test_an_instance_that_does_not_accept_in_time(town: Town) -> None:
    """A listener whose queue is full neither accepts nor refuses."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        crowd = []
        try:
            for _ in range(3):
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", port))
                crowd.append(sock)
            async with Town(Ingress(small(connect=0.2))) as hurried:
                server = await hurried.answer(OK, route=None)  # type: ignore[arg-type]
                await server.stop()
                server.port = port
                hurried.route("*", server)
                answer = await hurried.say(CLOSE)
                assert (status(answer), field(answer, "x-minipaas")) == (504, "backend.connect")
                # An end in the middle of an attempt leaves no attempt behind.
                _, writer = await hurried.connect()
                writer.write(GET)
                await until(lambda: hurried.ingress.counters().routes[0].in_flight == 1)
                await asyncio.wait_for(hurried.ingress.close(0.0), PATIENCE)
                writer.close()
                assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("ingress-")]
        finally:
            for sock in crowd:
                sock.close()


def test_an_instance_that_accepts_after_the_request_was_answered_gets_nothing_of_it() -> None:
    world = World()
    world.swap(TABLES[0])
    client, wire = world.visit("192.0.2.1")
    client.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    _, _, task = world.asked.popleft()
    for _ in range(2):
        world.loop.advance(world.limits.connect * (world.limits.attempts + 1))
    assert b"backend.connect" in wire.sent
    assert task.cancelled


async def test_no_route_and_no_instance_are_two_things(town: Town) -> None:
    town.route("shop.local/api")
    for path, expected, code in ((b"/api", 503, "route.no_backend"), (b"/", 404, "route.unknown")):
        answer = await town.say(b"GET " + path + b" HTTP/1.1\r\nHost: shop.local\r\nConnection: close\r\n\r\n")
        assert (status(answer), field(answer, "x-minipaas")) == (expected, code)
        assert field(answer, "retry-after") == ("2" if expected == 503 else None)
    counters = town.ingress.counters()
    assert (counters.unrouted, counters.routes[0].requests, counters.routes[0].answers) == (1, 1, (0, 0, 0, 0, 1))


async def test_the_connection_survives_an_error_page(town: Town) -> None:
    town.route("shop.local")
    reader, writer = await town.connect()
    writer.write(GET)
    assert status((await read_answer(reader))[0]) == 503
    await town.answer(OK, route="shop.local")
    writer.write(GET)
    assert status((await read_answer(reader))[0]) == 200
    writer.close()


async def test_a_body_behind_an_error_page_is_not_the_next_request(town: Town) -> None:
    await town.answer(OK, route="shop.local")
    smuggled = b"GET / HTTP/1.1\r\nHost: shop.local\r\n\r\n"
    wire = b"POST / HTTP/1.1\r\nHost: elsewhere\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
    answer = await town.say(wire + smuggled)
    assert status(answer) == 404 and field(answer, "connection") == "close" and answer.count(b"HTTP/1.1") == 1


async def test_waiting_for_an_instance_ends_when_the_client_leaves(town: Town) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    server = await town.serve(handler)
    for _ in range(20):
        _, writer = await town.connect()
        writer.write(GET)
        writer.close()
    async with asyncio.timeout(PATIENCE):
        await until(lambda: town.ingress.counters().connections == 0, "the end of all clients")
    await until(lambda: server.open == 0, "the end of the connections to the instance")
    assert town.ingress.counters().instances == {server.name: 0}


async def test_who_was_told_that_the_connection_stays_may_ask_once_more() -> None:
    """The ingress begins to leave between the head of an answer, which says nothing of an end, and its body."""
    async with Town(Ingress()) as town:
        halfway, on = asyncio.Event(), asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK[:-2])
                halfway.set()
                await on.wait()
                writer.write(OK[-2:])

        await town.serve(handler)
        reader, writer = await town.connect()
        writer.write(GET)
        assert b"Connection: close" not in await reader.readuntil(b"\r\n\r\n")
        leaving = asyncio.create_task(town.ingress.leave(PATIENCE))
        await yielding()
        on.set()
        assert await reader.readexactly(2) == b"ok"
        writer.write(GET)
        head, body = await read_answer(reader)
        assert (status(head), body) == (200, b"ok")
        assert field(head, "connection").lower() == "close"
        assert await reader.read() == b""
        await leaving
        writer.close()
