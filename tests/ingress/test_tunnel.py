"""WebSockets and other tunnels, through a well-kept client and server."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from minipaas.ingress import Ingress
from minipaas.model.route import Backend, Route, RouteEntry

from .peers import GET, PATIENCE, Town, field, read_answer, small, status, until

UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: raw\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\nX-More: 1\r\n\r\n"


async def echo(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse()
    await websocket.prepare(request)
    async for message in websocket:
        if message.type is aiohttp.WSMsgType.TEXT:
            await websocket.send_str(message.data + " " + request.headers["X-Forwarded-For"])
        else:
            await websocket.send_bytes(message.data)
    return websocket


async def upload(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    async for block in request.content.iter_any():
        await response.write(block)
    return response


@asynccontextmanager
async def aiohttp_app(town: Town) -> AsyncIterator[str]:
    """An aiohttp app behind the ingress; the base URL of the ingress."""
    app = web.Application()
    app.router.add_get("/ws", echo)
    app.router.add_post("/echo", upload)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    town.ingress.set_app("shop", (RouteEntry(Route.parse("*"), "shop", "web", (Backend("app", "127.0.0.1", port),)),))
    try:
        yield f"http://127.0.0.1:{town.port}"
    finally:
        await runner.cleanup()


async def test_a_websocket_talks_both_ways(town: Town) -> None:
    async with aiohttp_app(town) as url, aiohttp.ClientSession() as session:
        async with session.ws_connect(url + "/ws") as websocket:
            for number in range(50):
                await websocket.send_str(f"hello {number}")
                assert await websocket.receive_str(timeout=PATIENCE) == f"hello {number} 127.0.0.1"
            blob = bytes(range(256)) * 4096
            await websocket.send_bytes(blob)
            assert await websocket.receive_bytes(timeout=PATIENCE) == blob
            assert town.ingress.counters().routes[0].in_flight == 1
        assert websocket.close_code == 1000
        await until(lambda: town.ingress.counters().routes[0].in_flight == 0, "the end of the tunnel")
        assert town.ingress.counters().routes[0].answers[0] == 1


async def test_aiohttp_streams_a_body_there_and_back(town: Town) -> None:
    async def body() -> AsyncIterator[bytes]:
        for number in range(200):
            yield bytes((number,)) * 5000

    async with aiohttp_app(town) as url, aiohttp.ClientSession() as session:
        for expect in (False, True):
            # aiohttp answers an Expect header before the handler runs.
            async with session.post(url + "/echo", data=body(), expect100=expect) as response:
                received = await response.read()
            assert received == b"".join(bytes((number,)) * 5000 for number in range(200))


async def test_drain_leaves_tunnels_their_time_and_then_closes_them(town: Town) -> None:
    async with aiohttp_app(town) as url, aiohttp.ClientSession() as session:
        async with session.ws_connect(url + "/ws") as websocket:
            await websocket.send_str("before")
            assert await websocket.receive_str(timeout=PATIENCE) == "before 127.0.0.1"
            town.route("*")
            draining = asyncio.create_task(town.ingress.drain(["app"], 0.5), name="drain")
            await websocket.send_str("still")
            assert await websocket.receive_str(timeout=PATIENCE) == "still 127.0.0.1"
            assert not draining.done()
            assert await draining is False
            message = await websocket.receive(timeout=PATIENCE)
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING)
        await until(lambda: "app" not in town.ingress.counters().instances, "the end of the tunnel")


async def test_bytes_before_and_right_behind_the_switch_arrive(town: Town) -> None:
    heads = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(SWITCH + b"welcome")
        while data := await reader.read(1000):
            writer.write(data.upper())

    await town.serve(handler)
    reader, writer = await town.connect()
    writer.write(UPGRADE + b"early ")
    head = await reader.readuntil(b"\r\n\r\n")
    assert (status(head), field(head, "upgrade"), field(head, "connection")) == (101, "raw", "Upgrade")
    assert field(head, "x-more") == "1"
    assert field(heads[0], "upgrade") == "raw" and field(heads[0], "connection") == "Upgrade"
    assert await asyncio.wait_for(reader.readexactly(13), PATIENCE) == b"welcomeEARLY "
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await asyncio.wait_for(reader.readexactly(18), PATIENCE) == b"GET / HTTP/1.1\r\n\r\n"
    writer.close()


@pytest.mark.parametrize("first", ["client", "instance"])
async def test_each_side_may_stop_speaking_first(town: Town, first: str) -> None:
    heard = []
    done = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH)
        if first == "instance":
            writer.write(b"bye")
            writer.write_eof()
        heard.append(await reader.read(-1))
        if first == "client":
            writer.write(b"bye, too")
        done.set()

    await town.serve(handler)
    reader, writer = await town.connect()
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    if first == "instance":
        assert await asyncio.wait_for(reader.read(-1), PATIENCE) == b"bye"
    writer.write(b"last words")
    writer.write_eof()
    await asyncio.wait_for(done.wait(), PATIENCE)
    assert heard == [b"last words"]
    if first == "client":
        assert await asyncio.wait_for(reader.read(-1), PATIENCE) == b"bye, too"
    await until(lambda: town.ingress.counters().routes[0].in_flight == 0, "the end of the tunnel")
    writer.close()


async def test_an_instance_may_decline_to_switch(town: Town) -> None:
    await town.answer(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n")
    reader, writer = await town.connect()
    for request in (UPGRADE, GET):
        writer.write(request)
        head, _ = await read_answer(reader)
        assert status(head) == 426
    writer.close()


async def test_a_tunnel_on_which_nobody_speaks_ends() -> None:
    async with Town(Ingress(small(tunnel_gap=0.1))) as town:

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(SWITCH)
            await reader.read(-1)

        server = await town.serve(handler)
        reader, writer = await town.connect()
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        assert await asyncio.wait_for(reader.read(-1), PATIENCE) == b""
        await until(lambda: server.open == 0, "the end of the instance's side")
        writer.close()


async def test_half_a_tunnel_does_not_stay_for_long() -> None:
    async with Town(Ingress(small(half_gap=0.1))) as town:

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(SWITCH + b"bye")

        await town.serve(handler)
        reader, writer = await town.connect()
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\nbye")
        await until(lambda: town.ingress.counters().routes[0].in_flight == 0, "the end of the tunnel")
        writer.close()


@pytest.mark.parametrize("who", ["client", "instance", "instance, with a reset"])
async def test_when_one_side_breaks_off_the_other_hears_it(town: Town, who: str) -> None:
    leave = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH)
        if who != "client":
            await leave.wait()
            if who != "instance":
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            await reader.read(-1)

    server = await town.serve(handler)
    reader, writer = await town.connect()
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    if who != "client":
        leave.set()
        assert await asyncio.wait_for(reader.read(-1), PATIENCE) == b""
        writer.close()
    else:
        writer.transport.abort()
    await until(lambda: server.open == 0, "the end of the instance's side")
    await until(lambda: town.ingress.counters().routes[0].in_flight == 0, "the end of the tunnel")
    writer.close()
