"""The ingress as control uses it: swap, drain, proofs, counters, the end."""

from __future__ import annotations

import asyncio

import pytest

from minipaas.ingress import Ingress, ProofResult
from minipaas.model.errors import MinipaasError
from minipaas.model.route import Backend, Route, RouteEntry

from .peers import CLOSE, GET, OK, PATIENCE, Server, Town, field, fields, read_answer, small, status, until


def entry(route: str, *servers: Server, app: str = "shop") -> RouteEntry:
    return RouteEntry(Route.parse(route), app, "web", tuple(server.backend for server in servers))


async def test_routes_are_sorted_and_replaced_by_app(town: Town) -> None:
    town.ingress.set_app("shop", (entry("b.local"), entry("a.local")))
    town.ingress.set_app("blog", (entry("a.local/blog", app="blog"),))
    assert [str(one.route) for one in town.ingress.routes()] == ["a.local", "a.local/blog", "b.local"]
    town.ingress.set_app("shop", (entry("c.local"),))
    assert [str(one.route) for one in town.ingress.routes()] == ["a.local/blog", "c.local"]
    town.ingress.set_app("shop", ())
    assert [str(one.route) for one in town.ingress.routes()] == ["a.local/blog"]


async def test_an_app_cannot_set_another_apps_route(town: Town) -> None:
    with pytest.raises(MinipaasError, match="belongs to blog"):
        town.ingress.set_app("shop", (entry("a.local", app="blog"),))
    assert town.ingress.routes() == ()


async def test_two_hundred_swaps_under_load_fail_no_request(town: Town) -> None:
    """Each release is two instances; the old ones are drained and stopped as soon as the new ones are routed."""
    stop = asyncio.Event()
    statuses: list[int] = []

    async def load() -> None:
        reader, writer = await town.connect()
        number = 0
        while not stop.is_set():
            number += 1
            if number % 3:
                writer.write(GET)
            else:
                writer.write(b"POST / HTTP/1.1\r\nHost: shop.local\r\nContent-Length: 5\r\n\r\nhello")
            statuses.append(status((await read_answer(reader))[0]))
        writer.close()

    old = [await town.answer(OK) for _ in range(2)]
    town.route("*", *old)
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(load(), name=f"load-{number}")
        for swap in range(200):
            before = len(statuses)
            new = [await town.answer(OK, route=None, name=f"{swap}-{slot}") for slot in range(2)]  # type: ignore[arg-type]
            town.route("*", *new)
            assert await town.ingress.drain([server.name for server in old], PATIENCE)
            for server in old:
                await server.stop()
            old = new
            await until(lambda before=before: len(statuses) > before + 8, "traffic")
        stop.set()
    assert set(statuses) == {200} and len(statuses) > 1600
    counters = town.ingress.counters()
    assert counters.routes[0].broken == 0
    assert set(counters.instances) == {server.name for server in old}


async def test_drain_waits_for_what_is_under_way_and_sends_nothing_new(town: Town) -> None:
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            await release.wait()
            writer.write(OK)

    old = await town.serve(slow)
    reader, writer = await town.connect()
    writer.write(GET)
    await until(lambda: old.connections == 1)
    new = await town.answer(OK)
    draining = asyncio.create_task(town.ingress.drain([old.name], PATIENCE), name="drain")
    assert status(await town.say(CLOSE)) == 200
    assert (old.connections, len(new.heads), draining.done()) == (1, 1, False)
    release.set()
    assert await draining is True
    assert status((await read_answer(reader))[0]) == 200
    await until(lambda: old.open == 0, "the end of the connection to the old instance")
    assert old.name not in town.ingress.counters().instances
    writer.close()


async def test_drain_gives_up_in_time_and_lets_requests_go_on(town: Town) -> None:
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await release.wait()
        writer.write(OK)

    old = await town.serve(slow)
    reader, writer = await town.connect()
    writer.write(GET)
    await until(lambda: old.connections == 1)
    town.route("*")
    assert await town.ingress.drain([old.name], 0.05) is False
    release.set()
    assert status((await read_answer(reader))[0]) == 200
    writer.close()


async def test_draining_the_unknown_or_idle_is_done_at_once(town: Town) -> None:
    server = await town.answer(OK)
    assert await town.ingress.drain(["nobody"], 0.0) is True
    await town.say(CLOSE)
    assert await town.ingress.drain([server.name], 0.0) is True


async def test_idle_connections_to_an_instance_end_when_its_last_route_goes(town: Town) -> None:
    server = await town.answer(OK)
    await town.say(CLOSE)
    assert server.open == 1
    town.route("*")
    await until(lambda: server.open == 0, "the end of the idle connection")


async def test_an_instance_that_comes_back_is_used_again(town: Town) -> None:
    server = await town.answer(OK)
    for _ in range(3):
        town.route("*")
        assert status(await town.say(CLOSE)) == 503
        town.route("*", server)
        assert status(await town.say(CLOSE)) == 200
        assert status(await town.say(CLOSE)) == 200
    assert server.connections == 3


# -- proofs


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OK, ProofResult(True, 200, "GET /healthz: 200")),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ProofResult(True, 404, "GET /healthz: 404")),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", ProofResult(False, 500, "GET /healthz: 500")),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, ProofResult(True, 200, "GET /healthz: 200")),
        (b"nonsense\r\n\r\n", ProofResult(False, 502, "GET /healthz: 502 (the instance's answer is not valid HTTP)")),
    ],
)
async def test_an_instance_is_proven_before_it_has_a_route(town: Town, answer: bytes, expected: ProofResult) -> None:
    server = await town.answer(answer, route=None)  # type: ignore[arg-type]
    assert await town.ingress.prove(server.backend, "shop.local", "/healthz", PATIENCE) == expected
    assert field(server.heads[0], "host") == "shop.local"
    assert field(server.heads[0], "x-forwarded-for") == "127.0.0.1"
    await until(lambda: server.open == 0, "the end of the probe's connection")
    assert town.ingress.counters().instances == {}


async def test_a_proof_names_what_is_wrong(town: Town) -> None:
    server = await town.answer(OK, route=None)  # type: ignore[arg-type]
    await server.stop()
    result = await town.ingress.prove(server.backend, "*", "/", PATIENCE)
    assert result == ProofResult(False, 502, "GET /: 502 (the instance refuses connections)")

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    silent = await town.serve(mute, route=None)
    result = await town.ingress.prove(silent.backend, "*", "/", 0.05)
    assert result == ProofResult(False, None, "GET /: no answer within 0.05 seconds")
    await until(lambda: silent.open == 0, "the end of the probe's connection")


async def test_a_proof_goes_to_the_named_instance_only_and_counts_for_no_route(town: Town) -> None:
    routed = await town.answer(OK)
    pinned = await town.answer(OK, route=None)  # type: ignore[arg-type]
    for _ in range(4):
        assert (await town.ingress.prove(pinned.backend, "shop.local", "/", PATIENCE)).ok
    assert (len(pinned.heads), len(routed.heads)) == (4, 0)
    assert town.ingress.counters().routes[0].requests == 0


async def test_no_header_of_a_client_chooses_an_instance(town: Town) -> None:
    await town.answer(OK)
    hidden = await town.answer(OK, route=None)  # type: ignore[arg-type]
    for name in (b"X-Minipaas-Pin", b"X-Minipaas", b"Forwarded", b"X-Forwarded-Host"):
        wire = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%b: %b\r\n\r\n" % (name, hidden.name.encode())
        assert status(await town.say(wire)) == 200
    assert hidden.heads == []


@pytest.mark.parametrize(
    ("route", "path", "host", "asked"),
    [
        ("*", "/healthz", "localhost", b"GET /healthz HTTP/1.1"),
        ("*/api", "/api/health?deep=1", "localhost", b"GET /api/health?deep=1 HTTP/1.1"),
        ("*/api", "/healthz", "localhost", b"GET /api HTTP/1.1"),
        ("shop.local", "/", "shop.local", b"GET / HTTP/1.1"),
        ("*.shop.local", "/", "minipaas-probe.shop.local", b"GET / HTTP/1.1"),
        ("*", "/a b\u00e9", "localhost", b"GET /a%20b%C3%A9 HTTP/1.1"),
    ],
)
async def test_a_route_is_proven_from_outside(town: Town, route: str, path: str, host: str, asked: bytes) -> None:
    server = await town.answer(OK, route=route)
    result = await town.ingress.prove_route(Route.parse(route), path, PATIENCE)
    assert result.ok and result.status == 200
    assert field(server.heads[0], "host") == host
    assert server.heads[0].startswith(asked)


async def test_a_route_that_is_not_there_or_has_nobody_is_not_proven(town: Town) -> None:
    result = await town.ingress.prove_route(Route.parse("shop.local"), "/", PATIENCE)
    assert result == ProofResult(False, None, "GET /: shop.local is not in the route table")
    town.route("shop.local")
    result = await town.ingress.prove_route(Route.parse("shop.local"), "/", PATIENCE)
    assert result == ProofResult(False, 503, "GET /: 503 (no instance is ready)")


async def test_a_route_is_proven_where_narrower_ones_leave_room(town: Town) -> None:
    wide = await town.answer(OK, route=None)  # type: ignore[arg-type]
    narrow = await town.answer(OK, route=None)  # type: ignore[arg-type]
    town.ingress.set_app("shop", (entry("*", wide), entry("localhost", narrow), entry("*/api", narrow)))
    assert (await town.ingress.prove_route(Route.parse("*"), "/api", PATIENCE)).ok
    assert (len(wide.heads), len(narrow.heads)) == (1, 0)


async def test_an_answer_that_pretends_to_be_ours_is_the_apps(town: Town) -> None:
    await town.answer(b"HTTP/1.1 200 OK\r\nX-Minipaas: route.unknown\r\nContent-Length: 0\r\n\r\n")
    assert (await town.ingress.prove_route(Route.parse("*"), "/", PATIENCE)).ok


async def test_an_ingress_that_does_not_listen_proves_no_route_but_instances() -> None:
    town = Town(Ingress())
    server = await town.answer(OK)
    assert (await town.ingress.prove(server.backend, "*", "/", PATIENCE)).ok
    assert not (await town.ingress.prove_route(Route.parse("*"), "/", PATIENCE)).ok
    await town.ingress.close(0.0)
    await server.stop()


# -- counters


async def test_counts_tell_what_happened(town: Town) -> None:
    await town.answer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", route="a.local")
    other = await town.answer(OK, route=None)  # type: ignore[arg-type]
    town.ingress.set_app("blog", (entry("b.local", other, app="blog"),))
    wire = b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"
    for host in (b"a.local", b"b.local", b"b.local", b"c.local", b"bad host"):
        await town.say(wire % host)
    counters = town.ingress.counters()
    assert [(r.app, r.requests, r.in_flight, r.answers) for r in counters.routes] == [
        ("shop", 1, 0, (0, 0, 0, 1, 0)),
        ("blog", 2, 0, (0, 2, 0, 0, 0)),
    ]
    assert (counters.accepted, counters.unrouted, counters.refused) == (5, 1, 1)


# -- the end


async def test_close_lets_requests_end_and_says_that_the_connection_ends(town: Town) -> None:
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await release.wait()
        writer.write(OK)

    server = await town.serve(slow)
    idle, _ = await town.connect()
    busy, writer = await town.connect()
    writer.write(GET + GET)
    await until(lambda: server.connections == 1)
    port = town.port
    closing = asyncio.create_task(town.ingress.close(PATIENCE), name="close")
    assert await asyncio.wait_for(idle.read(), PATIENCE) == b""
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    assert not closing.done()
    release.set()
    answer = await asyncio.wait_for(busy.read(-1), PATIENCE)
    assert answer.count(b"HTTP/1.1 200") == 1 and field(answer, "connection") == "close"
    await asyncio.wait_for(closing, PATIENCE)
    assert "content-length" in fields(answer) and town.ingress.counters().connections == 0
    writer.close()


async def test_close_does_not_wait_for_ever() -> None:
    async with Town(Ingress(small())) as town:

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(-1)

        server = await town.serve(mute)
        reader, writer = await town.connect()
        writer.write(GET)
        await until(lambda: server.connections == 1)
        await asyncio.wait_for(town.ingress.close(0.05), PATIENCE)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await read_answer(reader)
        await until(lambda: server.open == 0, "the end of the connection to the instance")
        writer.close()


async def test_a_backend_may_stand_behind_two_routes(town: Town) -> None:
    server = await town.answer(OK, route=None)  # type: ignore[arg-type]
    town.ingress.set_app("shop", (entry("a.local", server), entry("b.local", server)))
    town.ingress.set_app("shop", (entry("b.local", server),))
    assert isinstance(town.ingress.routes()[0].backends[0], Backend)
    assert status(await town.say(CLOSE.replace(b"shop.local", b"b.local"))) == 200
