"""WebSockets (RFC 6455, 7692) through the ingress, between two implementations that know nothing of each other."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from minipaas.model.route import Backend, Route, RouteEntry

from .peers import PATIENCE, Town, until

LARGEST = 16 * 1024 * 1024
PIECES = [b"%d," % number * 50 for number in range(60)]


class Talker(Protocol):
    """A client, whichever it is."""

    @property
    def compressed(self) -> bool: ...
    @property
    def subprotocol(self) -> str | None: ...
    async def send(self, message: str | bytes) -> None: ...
    async def receive(self) -> str | bytes: ...
    async def ping(self) -> None: ...
    async def close(self, code: int, reason: str) -> None: ...
    async def closed(self) -> tuple[int, str]: ...


class OfWebsockets:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    @property
    def compressed(self) -> bool:
        assert self.connection.response is not None
        return "permessage-deflate" in self.connection.response.headers.get("Sec-WebSocket-Extensions", "")

    @property
    def subprotocol(self) -> str | None:
        return self.connection.subprotocol

    async def send(self, message: str | bytes) -> None:
        await self.connection.send(message)

    async def receive(self) -> str | bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.connection.recv()

    async def ping(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await (await self.connection.ping(b"are you there"))

    async def close(self, code: int, reason: str) -> None:
        await self.connection.close(code, reason)

    async def closed(self) -> tuple[int, str]:
        with pytest.raises(ConnectionClosed):
            await self.receive()
        return self.connection.close_code or 0, self.connection.close_reason or ""


class OfAiohttp:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    @property
    def compressed(self) -> bool:
        return self.socket.compress > 0

    @property
    def subprotocol(self) -> str | None:
        return self.socket.protocol

    async def send(self, message: str | bytes) -> None:
        await (self.socket.send_str(message) if isinstance(message, str) else self.socket.send_bytes(message))

    async def receive(self) -> str | bytes:
        message = await self.socket.receive(PATIENCE)
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        return message.data  # type: ignore[no-any-return]

    async def ping(self) -> None:
        await self.socket.ping(b"are you there")
        message = await self.socket.receive(PATIENCE)
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"are you there")

    async def close(self, code: int, reason: str) -> None:
        await self.socket.close(code=code, message=reason.encode())

    async def closed(self) -> tuple[int, str]:
        message = await self.socket.receive(PATIENCE)
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        return message.data, message.extra or ""


@asynccontextmanager
async def websockets_client(url: str, *, compress: bool) -> AsyncIterator[OfWebsockets]:
    compression = "deflate" if compress else None
    async with connect(url, compression=compression, max_size=LARGEST, subprotocols=["two", "one"]) as connection:  # type: ignore[list-item]
        yield OfWebsockets(connection)


@asynccontextmanager
async def aiohttp_client(url: str, *, compress: bool) -> AsyncIterator[OfAiohttp]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            url.replace("ws://", "http://"),
            compress=15 if compress else 0,
            max_msg_size=LARGEST,
            protocols=("two", "one"),
            autoping=False,
        ) as socket,
    ):
        yield OfAiohttp(socket)


class Heard:
    """What an instance has to tell of its clients."""

    def __init__(self) -> None:
        self.closes: list[tuple[int, str]] = []
        self.ponged = 0


@asynccontextmanager
async def websockets_server(heard: Heard) -> AsyncIterator[int]:
    async def talk(connection: ServerConnection) -> None:
        try:
            async for message in connection:
                if message == "bye":
                    await connection.close(4001, "you said so")
                elif message == "ping me":
                    async with asyncio.timeout(PATIENCE):
                        await (await connection.ping())
                    heard.ponged += 1
                elif message == "in pieces":
                    await connection.send(iter(PIECES))
                else:
                    await connection.send(message)
        finally:
            heard.closes.append((connection.close_code or 0, connection.close_reason or ""))

    async with serve(talk, "127.0.0.1", 0, max_size=LARGEST, subprotocols=["one"]) as server:  # type: ignore[list-item]
        yield next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def aiohttp_server(heard: Heard) -> AsyncIterator[int]:
    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=LARGEST, protocols=("one",))
        await socket.prepare(request)
        reason = ""
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.CLOSE:
                reason = message.extra or ""
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                break
            if message.data == "bye":
                await socket.close(code=4001, message=b"you said so")
            elif isinstance(message.data, str):
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)
        heard.closes.append((socket.close_code or 0, reason))
        return socket

    app = web.Application()
    app.router.add_get("/ws", talk)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


CLIENTS = {"websockets": websockets_client, "aiohttp": aiohttp_client}
SERVERS: dict[str, Callable[[Heard], AbstractAsyncContextManager[int]]] = {
    "websockets": websockets_server,
    "aiohttp": aiohttp_server,
}
PAIRS = list(itertools.product(CLIENTS, SERVERS))


@asynccontextmanager
async def talking(
    town: Town, client: str, server: str, *, compress: bool = True
) -> AsyncIterator[tuple[Talker, Heard]]:
    """A client that is connected to an instance, through the ingress."""
    heard = Heard()
    async with SERVERS[server](heard) as port:
        backend = Backend("app", "127.0.0.1", port)
        town.ingress.set_app("shop", (RouteEntry(Route.parse("*"), "shop", "web", (backend,)),))
        async with CLIENTS[client](f"ws://127.0.0.1:{town.port}/ws", compress=compress) as talker:
            yield talker, heard


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize(("client", "server"), PAIRS)
async def test_messages_of_every_kind_there_and_back(town: Town, client: str, server: str, compress: bool) -> None:
    async with talking(town, client, server, compress=compress) as (talker, heard):
        assert talker.compressed == compress
        assert talker.subprotocol == "one"
        for message in (
            "",
            "hello",
            "\N{SNOWMAN}" * 1000,
            b"",
            b"\x00\xff" * 500,
            "a" * 1_000_000,
            os.urandom(1 << 20),
        ):
            await talker.send(message)
            assert await talker.receive() == message
        await talker.ping()
        await talker.close(4000, "enough")
    await until(lambda: bool(heard.closes), "the end at the instance")
    assert heard.closes == [(4000, "enough")]
    await until(lambda: town.ingress.counters().routes[0].in_flight == 0, "the end of the tunnel")


@pytest.mark.parametrize(("client", "server"), PAIRS)
async def test_an_instance_says_why_it_ends(town: Town, client: str, server: str) -> None:
    async with talking(town, client, server) as (talker, _):
        await talker.send("bye")
        assert await talker.closed() == (4001, "you said so")


@pytest.mark.parametrize("server", SERVERS)
async def test_fragments_of_a_client(town: Town, server: str) -> None:
    async with talking(town, "websockets", server) as (talker, _):
        assert isinstance(talker, OfWebsockets)
        await talker.connection.send(iter(PIECES))
        assert await talker.receive() == b"".join(PIECES)


@pytest.mark.parametrize("client", CLIENTS)
async def test_fragments_of_an_instance(town: Town, client: str) -> None:
    async with talking(town, client, "websockets") as (talker, _):
        await talker.send("in pieces")
        assert await talker.receive() == b"".join(PIECES)


async def test_an_instance_asks_whether_the_client_is_there(town: Town) -> None:
    async with talking(town, "websockets", "websockets") as (talker, heard):
        await talker.send("ping me")
        await talker.send("and")
        assert await talker.receive() == "and"
        assert heard.ponged == 1


async def test_ten_megabytes_in_one_message(town: Town) -> None:
    large = os.urandom(10 * 1024 * 1024)
    async with talking(town, "websockets", "aiohttp", compress=False) as (talker, _):
        await talker.send(large)
        assert await talker.receive() == large
