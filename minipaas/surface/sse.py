"""Server-sent events (WHATWG HTML, 9.2). What always holds: a stream is never silent for longer than the heartbeat,
ends when the surface closes or the reader is gone, and there are never more than `limits.streams` of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from msgspec import Struct

from minipaas.model.errors import MinipaasError
from minipaas.model.typed import to_json
from minipaas.surface.access import Access
from minipaas.surface.call import Call, Context

log = logging.getLogger("minipaas.surface")


class EventStream:
    """One reader."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, call: Call) -> AsyncIterator[EventStream]:
        """Begin to answer with events. A reader that goes away ends the block quietly; for one that is gone already it
        raises ConnectionError."""
        context = call.context
        most = _most(call)
        if context.streams >= most:
            raise MinipaasError(
                f"cannot follow: {context.streams} others do already", hint="close some pages", code="api.busy"
            )
        context.streams += 1
        stream = cls(context)
        begun = False
        try:
            await stream.response.prepare(call.request)
            await stream._write(b"retry: 1000\n\n")
            begun = True
            yield stream
            await stream.response.write_eof()
        except (ConnectionError, TimeoutError) as gone:
            stream._break_off(call)
            if not begun:
                raise ConnectionResetError("the reader is gone") from gone
        except MinipaasError as error:
            if not stream.response.prepared:
                raise
            log.error("%s: %s", call.request.path, error.message)
            stream._break_off(call)
        finally:
            context.streams -= 1

    @property
    def alive(self) -> bool:
        """Whether more may be sent."""
        return not self._context.news.closed

    async def send(self, name: str, data: Struct, identity: str) -> None:
        """One event; `data` as JSON, which never has a line break."""
        await self._write(b"id: %b\nevent: %b\ndata: %b\n\n" % (identity.encode(), name.encode(), to_json(data)))

    async def wait(self, version: int) -> int:
        """Until there is other news than `version`, with heartbeats; returns early when closing."""
        context = self._context
        while (now := await context.news.wait(version, context.limits.heartbeat)) == version and self.alive:
            await self._write(b": still here\n\n")
        return now

    def _break_off(self, call: Call) -> None:
        """The head is out, so the only way left to say that this is not the end; the reader comes back by itself."""
        if call.request.transport is not None:
            call.request.transport.abort()

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(self._context.limits.write_wait):
            await self.response.write(data)


def _most(call: Call) -> int:
    """How many streams there may be before this caller gets none any more."""
    limits = call.context.limits
    if call.caller.may(Access.ADMIN):
        return limits.streams
    return limits.open_streams if call.caller.role is None else limits.streams - limits.kept_streams
