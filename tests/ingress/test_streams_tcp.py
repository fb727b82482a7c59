"""What clients of a TCP port, and the instances behind it, see: real sockets, both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from kit.box import free_port
from msgspec.structs import replace

from minipaas.ingress.doors import OwnDoors
from minipaas.ingress.limits import StreamLimits
from minipaas.ingress.streams import Streams
from minipaas.model.errors import Conflict
from minipaas.model.route import Backend
from minipaas.model.stream import Stream, StreamEntry

from .peers import PATIENCE, Server, until


def small(**changes: float) -> StreamLimits:
    """Limits with times fit for a test."""
    return StreamLimits(**{"tick": 0.02, "retry": 0.05, "wait": 2.0, **changes})  # type: ignore[arg-type]


class Port:
    """A public TCP port, and instances to put behind it."""

    def __init__(self, limits: StreamLimits) -> None:
        self.number = free_port()
        self.streams = Streams(limits)
        self.streams.doors = OwnDoors(("127.0.0.1",))
        self.servers: list[Server] = []
        self.stream = Stream("tcp", self.number)

    def route(self, *servers: Server, idle: float = 60.0, connections: int = 100, held: bool = False) -> None:
        backends = tuple(server.backend for server in servers)
        self.streams.set_app("mqtt", (StreamEntry(self.stream, "mqtt", "broker", backends, idle, connections, held),))

    async def serve(self, name: str, handler: object = None) -> Server:
        server = await Server(name, handler or _tell(name)).start()  # type: ignore[arg-type]
        self.servers.append(server)
        return server

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.number)

    async def ask(self) -> bytes:
        """Who answers, until the end of the connection."""
        reader, writer = await self.connect()
        writer.write_eof()
        try:
            async with asyncio.timeout(PATIENCE):
                return await reader.read()
        finally:
            writer.close()


def _tell(name: str):  # type: ignore[no-untyped-def]
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hears everything out, then answers."""
        said = await reader.read()
        writer.write(name.encode() + b":" + said)
        writer.close()

    return handler


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    one = Port(small())
    one.streams.open()
    yield one
    await one.streams.close(0)
    for server in one.servers:
        await server.stop()


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await reader.readline()


async def test_the_end_of_one_side_leaves_the_other_open(port: Port) -> None:
    """A client that has said all still gets the answer: half-close passes through."""
    port.route(await port.serve("one"))
    reader, writer = await port.connect()
    writer.write(b"hello")
    writer.write_eof()
    assert await reader.read() == b"one:hello"
    writer.close()
    await until(lambda: not port.streams.carried, "the end of the connection")
    (counted,) = port.streams.counters()
    assert (counted.connections, counted.active, counted.refused) == (1, 0, 0)
    assert (counted.received, counted.sent) == (5, 9)


async def test_a_server_may_speak_first_and_end_first(port: Port) -> None:
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\n")
        writer.write_eof()
        assert await reader.read() == b"late words"

    port.route(await port.serve("smtp", banner))
    reader, writer = await port.connect()
    assert await reader.read() == b"220 ready\n"
    writer.write(b"late words")
    writer.write_eof()
    await until(lambda: not port.streams.carried, "the end")


async def test_connections_go_to_whoever_has_fewest(port: Port) -> None:
    one, two = await port.serve("one", _echo), await port.serve("two", _echo)
    port.route(one, two)
    writers = [(await port.connect())[1] for _ in range(6)]
    await until(lambda: one.open + two.open == 6, "all are through")
    assert (one.open, two.open) == (3, 3)
    for writer in writers:
        writer.close()


async def test_an_instance_that_refuses_is_passed_over(port: Port) -> None:
    gone, there = await port.serve("gone"), await port.serve("there")
    await gone.stop()
    port.route(gone, there)
    assert [await port.ask() for _ in range(3)] == [b"there:"] * 3
    (counted,) = port.streams.counters()
    assert counted.retries >= 1
    assert counted.refused == 0


async def test_a_connection_waits_for_an_instance_that_is_coming(port: Port) -> None:
    """A service that is stopped before its successor starts: who connects in between waits, and is not refused."""
    port.route(held=True)
    asking = asyncio.create_task(port.ask())
    await until(lambda: port.streams.carried == 1, "it waits")
    port.route(await port.serve("new"))
    assert await asking == b"new:"


@pytest.mark.parametrize("held", [False, True])
async def test_nobody_comes(port: Port, held: bool) -> None:
    """At once where nobody is expected, else after a while."""
    port.route(held=held)
    with pytest.raises(ConnectionResetError):
        if not await port.ask():
            raise ConnectionResetError  # a closed connection says it too
    (counted,) = port.streams.counters()
    assert (counted.refused, counted.active) == (1, 0)


async def test_one_too_many_is_turned_away(port: Port) -> None:
    port.route(await port.serve("one", _echo), connections=2)
    kept = [await port.connect() for _ in range(2)]
    await until(lambda: port.streams.carried == 2, "two are in")
    reader, _ = await port.connect()
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    assert port.streams.counters()[0].refused == 1
    for _, writer in kept:
        writer.close()


async def test_a_slow_reader_slows_the_sender_and_memory_stays_flat(port: Port) -> None:
    """Neither side's buffers grow: the instance can write only what fits into the kernel and the proxy's bound."""
    written = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536

    port.route(await port.serve("flood", flood))
    sock = socket.create_connection(("127.0.0.1", port.number))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    try:
        last = -1
        while written != last:
            last = written
            await asyncio.sleep(0.3)
        assert written < 32 * 1024 * 1024, "what nobody reads is not taken in"
        before = written
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        taken = 0
        while taken < 8 * 1024 * 1024:
            taken += len(await loop.sock_recv(sock, 1 << 20))
        await until(lambda: written > before, "it goes on")
    finally:
        sock.close()


async def test_a_large_answer_reaches_a_client_that_is_slow_to_the_end(port: Port) -> None:
    size = 4 * 1024 * 1024

    async def big(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"y" * size)
        await writer.drain()
        writer.close()

    port.route(await port.serve("big", big))
    reader, writer = await port.connect()
    await asyncio.sleep(0.2)
    assert len(await reader.read()) == size
    writer.close()


async def test_what_is_silent_for_too_long_ends(port: Port) -> None:
    port.route(await port.serve("one", _echo), idle=0.2)
    reader, writer = await port.connect()
    writer.write(b"a\n")
    assert await _line(reader) == b"a\n"
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    await until(lambda: not port.streams.carried, "it is forgotten")


async def test_a_swap_breaks_nothing_off_and_a_drain_does_in_the_end(port: Port) -> None:
    old, new = await port.serve("old", _echo), await port.serve("new", _tell("new"))
    port.route(old)
    reader, writer = await port.connect()
    writer.write(b"a\n")
    assert await _line(reader) == b"a\n"

    port.route(new)
    assert await port.ask() == b"new:", "who comes now goes to the new one"
    writer.write(b"b\n")
    assert await _line(reader) == b"b\n", "who is in stays with the old one"
    assert port.streams.in_flight() == {"old": 1}

    assert await port.streams.drain(["old"], 0.1) is False
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    assert await port.streams.drain(["old"], 5.0) is True


async def test_a_port_is_closed_when_nobody_wants_it(port: Port) -> None:
    port.route(await port.serve("one"))
    assert await port.ask() == b"one:"
    port.streams.set_app("mqtt", ())
    await asyncio.sleep(0.05)
    with pytest.raises(ConnectionRefusedError):
        await port.connect()


async def test_a_port_that_somebody_has_is_claimed_in_vain_and_opened_when_it_is_free(port: Port) -> None:
    server = await port.serve("one")
    with socket.create_server(("127.0.0.1", port.number)):
        entry = StreamEntry(port.stream, "mqtt", "broker", (server.backend,), 60.0, 10)
        with pytest.raises(Conflict) as refused:
            port.streams.claim("mqtt", (entry,))
        assert refused.value.code == "port.in_use"
        assert f"sport = :{port.number}" in refused.value.hint

        told = []
        port.streams.attach(port.streams.doors, lambda: told.append(1))
        port.route(server)
        assert "another program has this port" in port.streams.troubles()[port.stream]
        assert not (await port.streams.prove_open(port.stream, 1.0)).ok
        assert told == [1]
    await until(lambda: not port.streams.troubles(), "it is opened")
    assert await port.ask() == b"one:"
    assert told == [1, 1]


async def test_another_apps_port_cannot_be_claimed(port: Port) -> None:
    server = await port.serve("one")
    port.route(server)
    with pytest.raises(Conflict) as refused:
        port.streams.claim("other", (StreamEntry(port.stream, "other", "web", (), 60.0, 10),))
    assert refused.value.code == "port.taken"
    assert await port.ask() == b"one:"


async def test_what_is_claimed_and_not_taken_is_given_back(port: Port) -> None:
    entry = StreamEntry(port.stream, "mqtt", "broker", (), 60.0, 10)
    port.streams.claim("mqtt", (entry,))
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port.number))
    port.streams.set_app("mqtt", ())
    socket.create_server(("127.0.0.1", port.number)).close()


async def test_leaving_lets_connections_end(port: Port) -> None:
    port.route(await port.serve("one", _echo))
    reader, writer = await port.connect()
    writer.write(b"a\n")
    assert await _line(reader) == b"a\n"
    leaving = asyncio.create_task(port.streams.leave(PATIENCE))
    await asyncio.sleep(0.05)
    with pytest.raises(ConnectionRefusedError):
        await port.connect()
    writer.write(b"b\n")
    assert await _line(reader) == b"b\n"
    writer.close()
    async with asyncio.timeout(PATIENCE):
        await leaving


async def test_a_proof_says_whether_an_instance_takes_connections(port: Port) -> None:
    there, gone = await port.serve("there", _echo), await port.serve("gone")
    await gone.stop()

    async def nobody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    rude = await port.serve("rude", nobody)
    assert (await port.streams.prove(there.backend, 2.0)).ok
    assert (await port.streams.prove(rude.backend, 2.0)).detail == "TCP: closed at once"
    assert not (await port.streams.prove(gone.backend, 0.5)).ok
    assert not (await port.streams.prove_open(port.stream, 1.0)).ok
    port.route(there)
    assert (await port.streams.prove_open(port.stream, 2.0)).ok
    port.route()
    assert (await port.streams.prove_open(port.stream, 2.0)).detail == "no instance is ready"


async def test_a_client_that_gives_up_is_forgotten(port: Port) -> None:
    """Also one that has not been connected yet."""
    port.route(held=True)
    for _ in range(3):
        _, writer = await port.connect()
        writer.transport.abort()
    await until(lambda: port.streams.counters()[0].connections == 3 and not port.streams.carried, "all are gone")


async def test_a_port_for_the_box_alone(port: Port) -> None:
    """127.0.0.2 stands for an address that others reach."""
    port.streams.doors = OwnDoors(("0.0.0.0",))
    server = await port.serve("one")
    entry = StreamEntry(port.stream, "mqtt", "broker", (server.backend,), 60.0, 10)
    port.streams.set_app("mqtt", (entry,))
    socket.create_connection(("127.0.0.2", port.number)).close()
    port.streams.set_app("mqtt", (replace(entry, local=True),))
    await asyncio.sleep(0.05)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port.number))
    assert await port.ask() == b"one:"


async def test_no_address_no_port(port: Port) -> None:
    port.streams.doors = OwnDoors(("192.0.2.7",))
    with pytest.raises(Conflict) as refused:
        port.streams.claim("mqtt", (StreamEntry(port.stream, "mqtt", "b", (Backend("i", "127.0.0.1", 1),), 60.0, 1),))
    assert refused.value.code == "port.address"
