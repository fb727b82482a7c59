"""The client's side of forwarded ports: listeners here, a WebSocket for each of their connections."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from minipaas.model.errors import MinipaasError, Refused
from minipaas.model.lease import Ending
from minipaas.surface.channel import Channel
from minipaas.surface.cli.main import tell
from minipaas.surface.cli.show import clean
from minipaas.surface.client import Box, segment
from minipaas.surface.wire_access import Ended, ForwardPorts, InputEnds, LeaseView, Notice, Opened

LOOPBACK = "127.0.0.1"
PIECE = 64 * 1024


def forwarded(box: Box, app: str, wanted: ForwardPorts, pairs: tuple[tuple[int, int], ...]) -> None:
    """Forward (here, there) until the access ends. Raises MinipaasError when it could not be begun, or was ended."""
    asyncio.run(_forwarded(box, app, wanted, pairs))


async def _forwarded(box: Box, app: str, wanted: ForwardPorts, pairs: tuple[tuple[int, int], ...]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        channel = await stack.enter_async_context(Channel.open(box, f"/apps/{segment(app)}/forward"))
        await channel.send(wanted)
        opened = await channel.receive()
        if not isinstance(opened, Opened):
            raise MinipaasError("cannot understand the answer: it does not begin", code="cli.answer")
        told = []
        for here, there in pairs:
            port = await stack.enter_async_context(_listening(box, opened.lease, here, there))
            told.append(f"{LOOPBACK}:{port} → {opened.lease.instance.removeprefix('minipaas-')}:{there}")
        print("\n".join(told), flush=True)
        minutes = (opened.lease.until - opened.lease.started) / 60
        print(f"for {minutes:.0f} min; Ctrl-C ends it", file=sys.stderr)
        while True:
            message = await channel.receive()
            if isinstance(message, Notice):
                print(f"minipaas: {clean(message.text)}", file=sys.stderr)
            elif isinstance(message, Ended):
                raise MinipaasError(f"cannot go on: {message.text or 'the access is over'}", code="access.ended")


@contextlib.asynccontextmanager
async def _listening(box: Box, lease: LeaseView, here: int, there: int) -> AsyncIterator[int]:
    """A listener here, as its port; at the end its connections end too."""
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_connection(box, lease, there, reader, writer), name=f"connection to {there}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    try:
        server = await asyncio.start_server(connected, LOOPBACK, here)
    except OSError as error:
        raise Refused(
            f"cannot listen on {LOOPBACK}:{here}: {error.strerror or error}",
            hint=f"take another: {here + 1}:{there}, or 0:{there} for a free one",
            code="cli.port_taken",
        ) from None
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _connection(
    box: Box, lease: LeaseView, there: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One, until either side ends it. What is wrong with it is told, and ends no other."""
    try:
        async with Channel.open(box, f"/leases/{lease.id}/connect?port={there}") as channel:
            sending = asyncio.create_task(_send(channel, reader), name="sending")
            try:
                await _receive(channel, writer, there)
            finally:
                channel.give_up()
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
    except MinipaasError as error:
        tell(error, as_json=False)
        writer.transport.abort()
    except ConnectionError:  # whoever connected here is gone
        writer.transport.abort()
    finally:
        writer.close()


async def _send(channel: Channel, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(PIECE):
        await channel.send_bytes(data)
    await channel.send(InputEnds())


async def _receive(channel: Channel, writer: asyncio.StreamWriter, there: int) -> None:
    while not isinstance(message := await channel.receive(), Ended):
        if isinstance(message, bytes):
            writer.write(message)
            await writer.drain()
    if message.ending is Ending.FAILED:
        raise MinipaasError(
            f"cannot connect to port {there} there: {message.text.strip()}", code="access.no_connection"
        )
    if writer.can_write_eof():
        writer.write_eof()
