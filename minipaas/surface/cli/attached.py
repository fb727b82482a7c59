"""A command in an instance, tied to this process: its streams are ours, our signals of size are its."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from typing import Protocol

from msgspec import Struct

from minipaas.model.errors import MinipaasError
from minipaas.model.lease import Ending
from minipaas.surface.channel import Channel, raised
from minipaas.surface.cli.main import tell
from minipaas.surface.cli.show import clean
from minipaas.surface.cli.terminal import raw, size_now
from minipaas.surface.client import Box
from minipaas.surface.wire_access import Ended, InputEnds, Notice, Opened, Resize, RunCommand

IN, OUT, ERR = b"\0", 1, 2
NOT_DONE = 125
PIECE = 64 * 1024


def attached(box: Box, path: str, wanted: RunCommand) -> int:
    """Run it to its end. `path`: of the API's WebSocket for it. Returns the exit code. Raises MinipaasError when it
    could not be begun."""
    return asyncio.run(_attached(box, path, wanted))


async def _attached(box: Box, path: str, wanted: RunCommand) -> int:
    async with Channel.open(box, path) as channel:
        await channel.send(wanted)
        opened = await channel.receive()
        if not isinstance(opened, Opened):
            raise MinipaasError("cannot understand the answer: it does not begin", code="cli.answer")
        if wanted.terminal is not None:
            _greet(opened)
        with raw(0) if wanted.terminal is not None else contextlib.nullcontext():
            ended = await between(channel, wanted)
    return _told(ended, opened)


class Far(Protocol):
    """The other side, as `Channel` has it."""

    async def send(self, message: Struct, /) -> None: ...
    async def send_bytes(self, data: bytes, prefix: bytes = b"", /) -> None: ...
    async def receive(self) -> object: ...


async def between(channel: Far, wanted: RunCommand) -> Ended:
    """Both ways until the end."""
    loop = asyncio.get_running_loop()
    resized = asyncio.Event()
    tasks = []
    if wanted.terminal is not None:
        loop.add_signal_handler(signal.SIGWINCH, resized.set)
        tasks.append(asyncio.create_task(_sizes(channel, resized), name="sizes"))
    if wanted.stdin:
        tasks.append(asyncio.create_task(_input(channel), name="input"))
    try:
        while True:
            message = await channel.receive()
            if isinstance(message, bytes):
                await asyncio.to_thread(_write, ERR if message[0] == ERR else OUT, message[1:])
            elif isinstance(message, Notice):
                await asyncio.to_thread(_write, ERR, f"\r\n[minipaas: {clean(message.text)}]\r\n".encode())
            elif isinstance(message, Ended):
                return message
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        loop.remove_signal_handler(signal.SIGWINCH)


async def _sizes(channel: Far, resized: asyncio.Event) -> None:
    while True:
        await resized.wait()
        resized.clear()
        columns, rows = size_now()
        await channel.send(Resize(columns=columns, rows=rows))


async def _input(channel: Far) -> None:
    """Standard input, read by a thread of its own: whatever it is, reading it may wait for ever."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue(1)

    def read() -> None:
        with contextlib.suppress(OSError, RuntimeError):  # a closed standard input; our end
            data = b"?"
            while data:
                data = os.read(0, PIECE)
                asyncio.run_coroutine_threadsafe(pieces.put(data), loop).result()

    threading.Thread(target=read, name="standard input", daemon=True).start()
    while data := await pieces.get():
        await channel.send_bytes(data, IN)
    await channel.send(InputEnds())


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _greet(opened: Opened) -> None:
    lease = opened.lease
    left = (lease.until - lease.started) / 60
    kept = "; what is shown is recorded" if lease.recording else ""
    print(f"{lease.instance.removeprefix('minipaas-')}, for {left:.0f} min{kept}", file=sys.stderr)


def _told(ended: Ended, opened: Opened) -> int:
    """Say how it ended, unless by itself. Returns the exit code."""
    if ended.error is not None:
        tell(raised(ended.error), as_json=False)
        return NOT_DONE if ended.code is None else ended.code
    if ended.ending is Ending.DONE and ended.code is not None:
        return ended.code
    name = opened.lease.instance.removeprefix("minipaas-")
    why = ended.text or "nobody can tell how"
    tell(MinipaasError(f"cannot go on in {name}: {why}", code="access.ended"), as_json=False)
    return NOT_DONE if ended.code is None else ended.code
