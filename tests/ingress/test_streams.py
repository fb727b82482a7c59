"""Large bodies: whole, in order, and never much of them in the proxy."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import socket
import tracemalloc

import pytest

from minipaas.ingress import Ingress

from .peers import GET, PATIENCE, Town, status, until

MB = 1_000_000
SIZE = 50 * MB
BLOCK = bytes(range(256)) * 256
FLAT = 4 * MB
"""More than this held in the process during a transfer means that somebody collects it."""


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def send(writer: asyncio.StreamWriter, coding: str) -> str:
    """Write SIZE bytes; their digest."""
    digest = hashlib.sha256()
    left = SIZE
    while left:
        block = BLOCK[: min(left, len(BLOCK))]
        left -= len(block)
        digest.update(block)
        writer.write(chunked(block) if coding == "chunks" else block)
        await writer.drain()
    if coding == "chunks":
        writer.write(b"0\r\n\r\n")
    return digest.hexdigest()


async def receive(reader: asyncio.StreamReader, coding: str) -> str:
    """Read SIZE bytes and the end of the coding; their digest."""
    digest = hashlib.sha256()
    if coding == "chunks":
        while size := int(await reader.readline(), 16):
            digest.update(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readline() == b"\r\n"
    else:
        left = SIZE
        while left:
            block = await reader.read(min(left, 65536))
            assert block, f"{left} bytes are missing"
            left -= len(block)
            digest.update(block)
    return digest.hexdigest()


def length_field(coding: str) -> bytes:
    return b"Transfer-Encoding: chunked\r\n" if coding == "chunks" else b"Content-Length: %d\r\n" % SIZE


@pytest.mark.parametrize("coding", ["length", "chunks"])
async def test_fifty_megabytes_down(town: Town, coding: str) -> None:
    sent: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + length_field(coding) + b"\r\n")
        sent.append(await send(writer, coding))
        await reader.read(-1)

    await town.serve(handler)
    reader, writer = await town.connect()
    tracemalloc.start()
    try:
        writer.write(GET)
        assert status(await reader.readuntil(b"\r\n\r\n")) == 200
        assert [await receive(reader, coding)] == sent
        assert tracemalloc.get_traced_memory()[1] < FLAT
    finally:
        tracemalloc.stop()
    writer.close()


@pytest.mark.parametrize("coding", ["length", "chunks"])
async def test_fifty_megabytes_up(town: Town, coding: str) -> None:
    received: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        received.append(await receive(reader, coding))
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        await reader.read(-1)

    await town.serve(handler)
    reader, writer = await town.connect()
    tracemalloc.start()
    try:
        writer.write(b"PUT /x HTTP/1.1\r\nHost: shop.local\r\n" + length_field(coding) + b"\r\n")
        sent = await send(writer, coding)
        assert status(await reader.readuntil(b"\r\n\r\n")) == 201
        assert received == [sent]
        assert tracemalloc.get_traced_memory()[1] < FLAT
    finally:
        tracemalloc.stop()
    writer.close()


async def small_socket(port: int) -> socket.socket:
    """A client whose kernel takes little by itself."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


async def settled(progress: list[int]) -> None:
    """Wait until a counter stands still."""
    before = -1
    while progress[0] != before:
        before = progress[0]
        await asyncio.sleep(0.1)


async def test_a_slow_reader_pauses_the_instance(town: Town) -> None:
    progress = [0]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        for _ in range(SIZE // MB):
            writer.write(bytes(MB))
            await writer.drain()
            progress[0] += MB
        await reader.read(-1)

    await town.serve(handler)
    loop = asyncio.get_running_loop()
    sock = await small_socket(town.port)
    gc.collect()
    tracemalloc.start()
    try:
        await loop.sock_sendall(sock, GET)
        await until(lambda: progress[0] > 0)
        await settled(progress)
        assert progress[0] < SIZE // 2, "the instance was not held back"
        assert tracemalloc.get_traced_memory()[0] < FLAT
        total = 0
        while total < SIZE:
            total += len(await loop.sock_recv(sock, 262_144))
    finally:
        tracemalloc.stop()
        sock.close()
    assert progress[0] == SIZE


async def test_a_slow_instance_pauses_the_client(town: Town) -> None:
    read_on = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await read_on.wait()
        await receive(reader, "length")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await reader.read(-1)

    await town.serve(handler)
    progress = [0]
    reader, writer = await town.connect()

    async def upload() -> None:
        writer.write(b"PUT /x HTTP/1.1\r\nHost: a\r\n" + length_field("length") + b"\r\n")
        for _ in range(SIZE // MB):
            writer.write(bytes(MB))
            await writer.drain()
            progress[0] += MB

    async with asyncio.TaskGroup() as group:
        group.create_task(upload(), name="upload")
        await until(lambda: progress[0] > 0)
        await settled(progress)
        assert progress[0] < SIZE // 2, "the client was not held back"
        read_on.set()
    assert status(await reader.readuntil(b"\r\n\r\n")) == 204
    writer.close()


async def test_a_client_that_only_sends_is_not_collected(town: Town) -> None:
    """Requests without end, and nobody reads the answers: what waits in the proxy stays small."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000))
            await writer.drain()

    await town.serve(handler)
    loop = asyncio.get_running_loop()
    sock = await small_socket(town.port)
    progress = [0]

    async def flood() -> None:
        for _ in range(2000):
            await loop.sock_sendall(sock, GET * 1000)
            progress[0] += 1

    flooding = asyncio.create_task(flood(), name="flood")
    tracemalloc.start()
    try:
        await until(lambda: progress[0] > 0)
        await settled(progress)
        assert not flooding.done()
        assert tracemalloc.get_traced_memory()[0] < FLAT
    finally:
        tracemalloc.stop()
        flooding.cancel()
        sock.close()
    await until(lambda: town.ingress.counters().connections == 0, "the end of the client")


async def test_pausing_one_request_does_not_stop_the_next_on_the_same_instance_connection() -> None:
    async with Town(Ingress()) as town:
        body = bytes(3 * MB)

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()

        await town.serve(handler)
        loop = asyncio.get_running_loop()
        sock = await small_socket(town.port)
        for _ in range(4):
            await loop.sock_sendall(sock, GET)
            total = 0
            while total < len(body):
                total += len(await loop.sock_recv(sock, 16384))
                await asyncio.sleep(0)
            reader, writer = await town.connect()
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            assert len(await reader.readexactly(len(body))) == len(body)
            writer.close()
        sock.close()


async def test_a_large_body_behind_another_request_arrives(town: Town) -> None:
    """The body is more than is held while the first request is under way, so reading had paused in between."""
    release = asyncio.Event()
    received: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if head.startswith(b"GET"):
                await release.wait()
            else:
                received.append(len(await reader.readexactly(3 * MB)))
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    await town.serve(handler)
    reader, writer = await town.connect()
    writer.write(GET)
    writer.write(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (3 * MB) + bytes(3 * MB))
    writer.write(GET)
    progress = [0]
    while (size := writer.transport.get_write_buffer_size()) != progress[0]:
        progress[0] = size
        await asyncio.sleep(0.1)
    release.set()
    for _ in range(3):
        assert status(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)) == 204
    assert received == [3 * MB]
    writer.close()


async def test_a_large_head_every_time_is_read_every_time(town: Town) -> None:
    server = await town.answer(b"HTTP/1.1 204 No Content\r\n\r\n")
    reader, writer = await town.connect()
    for number in range(3):
        cookie = b"Cookie: %d%b\r\n" % (number // 2, b"c" * 20_000)
        writer.write(GET.replace(b"\r\n\r\n", b"\r\n" + cookie + b"\r\n"))
        assert status(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)) == 204
        assert cookie in server.heads[-1]
    writer.close()
