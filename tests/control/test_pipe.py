"""The chunk pipe: what is fed in a loop comes out in a thread, whole, bounded, and with the feeder's error."""

from __future__ import annotations

import asyncio
import io

import pytest

from minipaas.control.pipe import ChunkPipe
from minipaas.model.errors import Refused


async def test_everything_arrives_in_order_however_it_is_read() -> None:
    pipe = ChunkPipe(depth=2)
    chunks = [bytes([number % 251]) * (number * 37 % 5000) for number in range(200)]

    def read() -> bytes:
        with io.BufferedReader(pipe, 1000) as file:
            return b"".join(iter(lambda: file.read(777), b""))

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(asyncio.to_thread(read))
        for chunk in chunks:
            await pipe.feed(chunk)
        pipe.finish()
    assert reading.result() == b"".join(chunks)


async def test_the_feeder_waits_when_nobody_reads() -> None:
    pipe = ChunkPipe(depth=3)
    for _ in range(3):
        await pipe.feed(b"x")
    waiting = asyncio.create_task(pipe.feed(b"y"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert await asyncio.to_thread(pipe.read, 1) == b"x"
    await waiting


async def test_the_reader_gets_the_feeders_error_after_what_came_before() -> None:
    pipe = ChunkPipe()
    await pipe.feed(b"half")
    pipe.finish(Refused("cannot accept the bundle: the upload was cut"))
    file = io.BufferedReader(pipe, 4)
    assert await asyncio.to_thread(file.read, 4) == b"half"
    with pytest.raises(Refused, match="cut"):
        await asyncio.to_thread(file.read, 1)
