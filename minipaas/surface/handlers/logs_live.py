"""Lines as they come, over a WebSocket.

What always holds: the reader asks with its pace, so one that is slow is behind and loses nothing while the lines are
kept; each message says up to where it goes, so a reader that comes back, also after a restart of minipaas, goes on
right there.
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from msgspec.structs import replace

from minipaas.model.logs import Found, Wanted
from minipaas.race import race
from minipaas.surface.call import Call
from minipaas.surface.handlers.logs import SECOND, logs_view, require_app, wanted_by
from minipaas.surface.websocket import Socket
from minipaas.surface.wire_logs import FollowLogs, LogLines
from minipaas.telemetry.logs.reading import Place

PIECE = 500
"""Lines in one message."""
REST = 0.05
"""Seconds between two messages to a reader, so that a flood is no message a line."""
PATIENCE = 30.0
"""Seconds after which is looked although there is no news."""


async def live(call: Call) -> web.StreamResponse:
    """Follow an app until the reader goes."""
    require_app(call)
    wanted = await wanted_by(call, {**call.query, "until": None, "before": None})
    async with Socket.open(call) as socket:
        begin = await socket.begin(FollowLogs, call.context.limits.socket_begin)
        await race(gone=_until_gone(socket), lines=_Reader(call, socket, wanted).follow(begin))
    return socket.response


class _Reader:
    """One that follows."""

    def __init__(self, call: Call, socket: Socket, wanted: Wanted) -> None:
        self._call = call
        self._socket = socket
        self._wanted = wanted
        self._logs = call.control.logs
        self._version = self._logs.version(call.app)

    async def follow(self, begin: FollowLogs) -> None:
        """Until the box stops."""
        began = time.time() if begin.since is None else begin.since
        since = int(began * SECOND)
        if begin.ends is None:
            found = await self._logs.newest(self._call.app, self._wanted, max(1, begin.tail))
            place = Place(found.ends, since)
            await self._tell(replace(found, lines=found.lines if begin.tail else ()), began)
        else:
            place = Place(begin.ends, since, comes_back=True)
        with self._logs.attended():
            while True:
                self._version = self._logs.version(self._call.app)
                before = dict(place.ends)
                found = await self._logs.after(self._call.app, self._wanted, place, PIECE)
                if found.lines or found.ends != before:
                    await self._tell(found, began)
                if not found.more and not await self._logs.newer(self._call.app, self._version, PATIENCE):
                    return
                await asyncio.sleep(0 if found.more else REST)

    async def _tell(self, found: Found, began: float) -> None:
        view = await logs_view(self._call, found)
        await self._socket.send(LogLines(lines=view.lines, ends=found.ends, since=began))


async def _until_gone(socket: Socket) -> None:
    """Returns when the reader has said goodbye, or is gone; what it says meanwhile means nothing."""
    while await socket.receive() is not None:
        pass
