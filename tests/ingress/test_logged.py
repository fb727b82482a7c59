"""Each request is told of once, whatever becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from minipaas.ingress import Ingress
from minipaas.ingress.accesslog import AccessLog
from minipaas.ingress.origin import Proxies

from .peers import CLOSE, GET, OK, PATIENCE, Town, read_answer, small, status, until

POST = b"POST /p?q=secret HTTP/1.1\r\nHost: Shop.local\r\nContent-Length: 5\r\n\r\nhello"


class LoggedTown(Town):
    """With an access log, which `told` reads at the end."""

    def __init__(self, ingress: Ingress, path: Path) -> None:
        super().__init__(ingress)
        self.path = path
        self.log = AccessLog(path, sample=1.0, size=1 << 20, keep=1, query=False)

    async def __aenter__(self) -> LoggedTown:
        await self.ingress.start([("127.0.0.1", 0)], proxies=Proxies([ip_network("127.0.0.0/8")]), access_log=self.log)
        return self

    async def told(self) -> list[dict[str, object]]:
        await self.ingress.close(1.0)
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]


@pytest.fixture
async def logged(tmp_path: Path) -> AsyncIterator[LoggedTown]:
    async with LoggedTown(Ingress(small()), tmp_path / "access.log") as town:
        yield town


async def test_a_proof_for_a_certificate_is_told_too(logged: LoggedTown) -> None:
    path = b"/.well-known/acme-challenge/token"
    logged.ingress.challenge(path, b"proof")
    assert status(await logged.say(b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path)) == 200
    (told,) = await logged.told()
    assert (told["status"], told["path"], told["host"]) == (200, path.decode(), "a")


async def test_requests_of_one_connection_each_with_its_own_bytes(logged: LoggedTown) -> None:
    server = await logged.answer(OK)
    reader, writer = await logged.connect()
    wires = [GET, POST, GET, b"HEAD /h HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n"]
    writer.write(GET + POST)
    sizes = []
    for wire in wires[:3]:
        if wire is GET and sizes:
            writer.write(GET)
        head, body = await read_answer(reader)
        sizes.append(len(head + body))
    writer.write(b"GET /last HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\nConnection: close\r\n\r\n")
    rest = await reader.read(-1)
    writer.close()
    told = await logged.told()
    assert [one["path"] for one in told] == ["/", "/p", "/", "/last"]
    assert [one["bytes_in"] for one in told][:3] == [len(wire) for wire in wires[:3]]
    assert [one["bytes_out"] for one in told] == [*sizes, len(rest)]
    assert [one["client"] for one in told] == ["127.0.0.1"] * 3 + ["192.0.2.9"]
    assert told[3]["peer"] == "127.0.0.1" and "peer" not in told[0]
    assert {one["status"] for one in told} == {200}
    first = told[0]
    assert (first["method"], first["host"], first["protocol"], first["tls"]) == ("GET", "shop.local", "HTTP/1.1", False)
    assert (first["app"], first["service"], first["route"], first["instance"]) == ("shop", "web", "*", server.name)
    assert 0 < float(str(first["duration_ms"])) < PATIENCE * 1000
    assert "secret" not in logged.path.read_text()


async def test_what_the_ingress_answers_itself(logged: LoggedTown) -> None:
    await logged.say(CLOSE)
    logged.route("shop.local")
    await logged.say(CLOSE)
    await logged.say(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    told = await logged.told()
    assert [(one["status"], one["fault"]) for one in told] == [
        (404, "route.unknown"),
        (503, "route.no_backend"),
        (400, "request.host"),
    ]
    assert told[1]["route"] == "shop.local" and "route" not in told[0]
    assert "method" not in told[2] and told[2]["client"] == "127.0.0.1"
    assert all(int(str(one["bytes_out"])) > 100 for one in told)


async def test_a_large_head_that_is_not_remembered_is_told_of_too(logged: LoggedTown) -> None:
    await logged.say(b"GET /large HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 8000 + b"\r\n\r\n" + CLOSE)
    assert [(one["path"], one["status"]) for one in await logged.told()] == [("/large", 404), ("/", 404)]


async def test_a_request_that_is_passed_over_to_another_instance(logged: LoggedTown) -> None:
    dead = await logged.answer(OK, route=None)  # type: ignore[arg-type]
    await dead.stop()
    alive = await logged.answer(OK, route=None)  # type: ignore[arg-type]
    logged.route("*", dead, alive)
    for _ in range(2):
        await logged.say(CLOSE)
    told = await logged.told()
    assert [one["instance"] for one in told] == [alive.name] * 2
    assert sorted(int(str(one.get("retries", 0))) for one in told) == [0, 1]


@pytest.mark.parametrize("begun", [True, False])
async def test_a_client_that_leaves_and_an_answer_that_breaks(logged: LoggedTown, begun: bool) -> None:
    started = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if begun or b"/break" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        if b"/break" in head:
            return
        started.set()
        await reader.read(-1)

    await logged.serve(handler)
    reader, writer = await logged.connect()
    writer.write(GET)
    await asyncio.wait_for(started.wait(), PATIENCE)
    if begun:
        await reader.readuntil(b"hello")
    writer.close()
    await until(lambda: not logged.ingress.counters().connections, "the end of the connection")
    await logged.say(b"GET /break HTTP/1.1\r\nHost: a\r\n\r\n")
    told = await logged.told()
    assert [(one["status"], one["fault"]) for one in told] == [
        (200 if begun else None, "client.left"),
        (200, "answer.broken"),
    ]


async def test_a_websocket_when_it_is_over(logged: LoggedTown) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n")
        writer.write(await reader.readexactly(1000))
        await reader.read(-1)

    await logged.serve(handler)
    reader, writer = await logged.connect()
    writer.write(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert status(head) == 101
    writer.write(b"x" * 1000)
    await reader.readexactly(1000)
    writer.close()
    await until(lambda: not logged.ingress.counters().connections, "the end of the tunnel")
    (one,) = await logged.told()
    assert (one["status"], one["path"]) == (101, "/ws") and "fault" not in one
    assert int(str(one["bytes_in"])) > 1000 and one["bytes_out"] == len(head) + 1000


async def test_a_slow_head_is_told_of_and_an_idle_connection_is_not(tmp_path: Path) -> None:
    async with LoggedTown(Ingress(small(head_time=0.1, keep_alive=0.1)), tmp_path / "log") as town:
        assert status(await town.say(b"GET / HTTP/1.1\r\nHo")) == 408
        assert await town.say(b"") == b""
        told = await town.told()
        assert [(one["status"], one["fault"]) for one in told] == [(408, "request.slow")]


async def test_without_a_log_connections_are_the_plain_ones(town: Town) -> None:
    _, writer = await town.connect()
    await until(lambda: bool(town.ingress.counters().connections), "the connection")
    assert {type(client).__name__ for client in town.ingress._core.clients} == {"Client"}
    assert town.ingress.counters().unlogged == 0
    writer.close()
