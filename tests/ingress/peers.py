"""Clients and servers for the tests: real sockets on loopback, every byte under the test's control."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

from minipaas.ingress import Ingress, Limits
from minipaas.model.route import Backend, Route, RouteEntry, RouteOptions

PATIENCE = 30.0
"""Seconds after which a test gives up on something that should have happened."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: shop.local\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: shop.local\r\nConnection: close\r\n\r\n"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """An instance. `handler` has each connection to itself; `heads` are the request heads seen by the helpers below."""

    def __init__(self, name: str, handler: Handler) -> None:
        self.name = name
        self.connections = 0
        self.open = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def backend(self) -> Backend:
        return Backend(self.name, "127.0.0.1", self.port)

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            await self._handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        """Stop listening and break off what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Town:
    """An ingress, the servers behind it and one app's routes."""

    def __init__(self, ingress: Ingress) -> None:
        self.ingress = ingress
        self.servers: list[Server] = []

    async def __aenter__(self) -> Self:
        await self.ingress.start([("127.0.0.1", 0)])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.ingress.close(0.0)
        for server in self.servers:
            await server.stop()

    @property
    def port(self) -> int:
        return self.ingress.addresses[0][1]

    async def serve(self, handler: Handler, *, route: str | None = "*", name: str = "") -> Server:
        """Start an instance; with `route`, make it the only one behind that route."""
        server = await Server(name or f"i{len(self.servers)}", handler).start()
        self.servers.append(server)
        if route is not None:
            self.route(route, server)
        return server

    async def answer(self, answer: bytes, **more: str) -> Server:
        """An instance that reads whole requests and gives every one this answer."""
        server: Server

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async for head, body in requests(reader):
                server.heads.append(head)
                server.bodies.append(body)
                writer.write(answer)

        server = await self.serve(handler, **more)
        return server

    def route(self, route: str, *servers: Server, held: bool = False, service: str = "web", **options: float) -> None:
        """Make these the instances behind a route; `options` as in RouteOptions."""
        backends = tuple(server.backend for server in servers)
        entry = RouteEntry(Route.parse(route), "shop", service, backends, RouteOptions(**options), held)  # type: ignore[arg-type]
        self.ingress.set_app("shop", (entry,))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *pieces: bytes) -> bytes:
        """All that comes back until the proxy ends the connection. Every piece is its own packet."""
        reader, writer = await self.connect()
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await yielding()
            return await asyncio.wait_for(reader.read(-1), PATIENCE)
        finally:
            writer.close()


def small(**changes: float) -> Limits:
    """Limits with times fit for a test."""
    return Limits(**{"tick": 0.02, **changes})  # type: ignore[arg-type]


async def yielding() -> None:
    """Let everything that is ready run, sockets included."""
    for _ in range(3):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], what: str = "it") -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        await asyncio.sleep(0.005)


async def requests(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
    """The requests on a connection: (head, body without its coding), read by a naive parser of our own."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            assert not error.partial, "a request broke off in its head"
            return
        yield head, await body_of(reader, head)


async def body_of(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """What follows a head that gives its length; b"" when it gives none."""
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:-2])
    }
    if fields.get(b"transfer-encoding") == b"chunked":
        body = b""
        while size := int((await reader.readline()).partition(b";")[0], 16):
            body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        while (await reader.readline()) != b"\r\n":
            pass
        return body
    return await reader.readexactly(int(fields.get(b"content-length", b"0")))


async def read_answer(reader: asyncio.StreamReader, *, bodyless: bool = False) -> tuple[bytes, bytes]:
    """One answer on a connection that stays: (head, body)."""
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        return head, b"" if bodyless else await body_of(reader, head)


def status(answer: bytes) -> int:
    """Of an answer's head."""
    assert answer.startswith(b"HTTP/1.1 "), answer[:60]
    return int(answer[9:12])


def fields(head: bytes) -> list[str]:
    """Names of a head's fields in lower case, in order."""
    return [line.partition(b":")[0].decode().lower() for line in head.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]]


def field(head: bytes, name: str) -> str | None:
    """The value of a field; None when it is absent, an error when it is there twice."""
    values = [
        line.partition(b":")[2].strip().decode()
        for line in head.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        if line.partition(b":")[0].decode().lower() == name.lower()
    ]
    assert len(values) < 2, values
    return values[0] if values else None
