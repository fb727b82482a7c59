"""What clients of a UDP port, and the instances behind it, see: real sockets, both event loops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from kit.box import free_port

from minipaas.ingress.doors import OwnDoors
from minipaas.ingress.limits import StreamLimits
from minipaas.ingress.streams import Streams
from minipaas.model.route import Backend
from minipaas.model.stream import Stream, StreamEntry

from .peers import PATIENCE, until


class Instance(asyncio.DatagramProtocol):
    """Answers every datagram with its name and what it got; `mute`: hears only."""

    def __init__(self, name: str, *, mute: bool = False) -> None:
        self.name = name
        self.mute = mute
        self.closed = False
        self.heard: list[tuple[bytes, object]] = []
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.port = transport.get_extra_info("sockname")[1]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.heard.append((data, addr))
        if not self.mute:
            self.transport.sendto(self.name.encode() + b":" + data, addr)  # type: ignore[arg-type]

    @property
    def backend(self) -> Backend:
        return Backend(self.name, "127.0.0.1", self.port)


class Port:
    """A public UDP port."""

    def __init__(self, address: str) -> None:
        self.streams = Streams(StreamLimits(tick=0.02, linger=2.0))
        self.streams.doors = OwnDoors((address,))
        self.number = free_port()
        self.stream = Stream("udp", self.number)
        self.instances: list[Instance] = []
        self.clients: list[socket.socket] = []

    async def instance(self, name: str, *, mute: bool = False) -> Instance:
        loop = asyncio.get_running_loop()
        _, one = await loop.create_datagram_endpoint(lambda: Instance(name, mute=mute), ("127.0.0.1", 0))
        self.instances.append(one)
        return one

    def route(self, *backends: Backend, idle: float = 60.0, connections: int = 100) -> None:
        self.streams.set_app("dns", (StreamEntry(self.stream, "dns", "named", backends, idle, connections),))

    def client(self, address: str = "127.0.0.1") -> socket.socket:
        """Connected: it takes answers from the address it wrote to, and from no other."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect((address, self.number))
        sock.setblocking(False)
        self.clients.append(sock)
        return sock


async def ask(sock: socket.socket, data: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    sock.send(data)
    async with asyncio.timeout(PATIENCE):
        return await loop.sock_recv(sock, 65535)


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    one = Port("0.0.0.0")
    one.streams.open()
    yield one
    await one.streams.close(0)
    for instance in one.instances:
        instance.transport.close()
    for client in one.clients:
        client.close()


async def test_answers_come_back_to_who_asked(port: Port) -> None:
    port.route((await port.instance("one")).backend)
    first, second = port.client(), port.client()
    assert await ask(first, b"a") == b"one:a"
    assert await ask(second, b"b") == b"one:b"
    assert await ask(first, b"c") == b"one:c"
    addresses = {str(address) for _, address in port.instances[0].heard}
    assert len(addresses) == 2, "an instance can tell clients apart"
    (counted,) = port.streams.counters()
    assert (counted.connections, counted.active, counted.dropped) == (2, 2, 0)
    assert (counted.received, counted.sent) == (3, 15)


async def test_an_answer_leaves_from_the_address_that_was_asked(port: Port) -> None:
    """A box with several addresses: 127.0.0.2 is not where the kernel would answer from by itself."""
    port.route((await port.instance("one")).backend)
    assert await ask(port.client("127.0.0.2"), b"a") == b"one:a"
    assert await ask(port.client("127.0.0.1"), b"b") == b"one:b"


async def test_the_largest_datagram(port: Port) -> None:
    port.route((await port.instance("big")).backend)
    data = b"z" * 60000
    assert await ask(port.client(), data) == b"big:" + data


async def test_empty_datagrams_count_too(port: Port) -> None:
    port.route((await port.instance("one")).backend)
    assert await ask(port.client(), b"") == b"one:"


async def test_clients_are_spread_and_stay_where_they_are(port: Port) -> None:
    one, two = await port.instance("one"), await port.instance("two")
    port.route(one.backend, two.backend)
    clients = [port.client() for _ in range(4)]
    seen = [[(await ask(client, b"x"))[:3] for _ in range(3)] for client in clients]
    assert all(len(set(answers)) == 1 for answers in seen)
    assert sorted(answers[0] for answers in seen) == [b"one", b"one", b"two", b"two"]


async def test_after_a_swap_a_client_goes_to_the_new_one_and_late_answers_still_arrive(port: Port) -> None:
    old, new = await port.instance("old", mute=True), await port.instance("new")
    port.route(old.backend)
    client = port.client()
    client.send(b"slow question")
    await until(lambda: bool(old.heard), "the old one has it")
    port.route(new.backend)
    assert await ask(client, b"x") == b"new:x"
    old.transport.sendto(b"late answer", old.heard[0][1])  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE):
        assert await loop.sock_recv(client, 100) == b"late answer"
    assert await port.streams.drain(["old"], PATIENCE), "what lingers ends by itself"


async def test_who_is_silent_is_forgotten(port: Port) -> None:
    port.route((await port.instance("one")).backend, idle=0.1)
    assert await ask(port.client(), b"a") == b"one:a"
    await until(lambda: port.streams.carried == 0, "it is forgotten")


async def test_one_client_too_many_is_dropped_and_counted(port: Port) -> None:
    port.route((await port.instance("one")).backend, connections=1)
    assert await ask(port.client(), b"a") == b"one:a"
    port.client().send(b"b")
    await until(lambda: port.streams.counters()[0].dropped == 1, "it is dropped")
    assert port.streams.counters()[0].refused == 1


async def test_nobody_there(port: Port) -> None:
    port.route()
    port.client().send(b"a")
    await until(lambda: port.streams.counters()[0].dropped == 1, "it is dropped")


async def test_an_instance_that_has_gone_is_passed_over(port: Port) -> None:
    gone, there = await port.instance("gone"), await port.instance("there")
    gone.transport.close()
    await until(lambda: gone.closed, "it has closed its port")
    port.route(gone.backend)
    client = port.client()
    client.send(b"lost")
    await until(lambda: port.streams.counters()[0].refused == 1, "the kernel says that nobody is there")
    port.route(gone.backend, there.backend)
    assert [await ask(client, b"x") for _ in range(3)] == [b"there:x"] * 3


async def test_a_port_is_closed_when_nobody_wants_it(port: Port) -> None:
    port.route((await port.instance("one")).backend)
    assert await ask(port.client(), b"a") == b"one:a"
    port.streams.set_app("dns", ())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("0.0.0.0", port.number))


async def test_leaving_is_short_and_answers_still_arrive(port: Port) -> None:
    one = await port.instance("one", mute=True)
    port.route(one.backend)
    client = port.client()
    client.send(b"question")
    await until(lambda: bool(one.heard), "it has it")
    leaving = asyncio.create_task(port.streams.leave(PATIENCE))
    await asyncio.sleep(0.05)
    one.transport.sendto(b"answer", one.heard[0][1])  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE):
        assert await loop.sock_recv(client, 100) == b"answer"
        await leaving


async def test_ipv6() -> None:
    one = Port("::")
    one.streams.open()
    instance = await one.instance("six")
    one.route(instance.backend)
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            client.connect(("::1", one.number))
            client.setblocking(False)
            assert await ask(client, b"a") == b"six:a"
    finally:
        await one.streams.close(0)
        instance.transport.close()
