"""Bundles: what a sender need not send, and the upload itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from minipaas.model.errors import Invalid
from minipaas.surface.access import Access, require
from minipaas.surface.call import Call
from minipaas.surface.continuing import go_ahead
from minipaas.surface.handlers.apps import accepted
from minipaas.surface.handlers.held import held_view
from minipaas.surface.wire import Accepted, Digests, MissingDigests
from minipaas.surface.wire_plan import Held


async def put(call: Call) -> Accepted | Held:
    """Take a bundle in, or hold it. Its body is asked for only when the box is ready to read it."""
    stream, length = body_of(call)
    if call.query["hold"]:
        require(call.caller, Access.DEPLOY, call.request.method)
        hold = await call.control.hold_bundle(stream, length, actor=call.caller.actor, origin=call.caller.origin)
        return await held_view(call, hold)
    change = await call.control.receive_bundle(
        stream,
        length,
        actor=call.caller.actor,
        origin=call.caller.origin,
        by_signature=not call.caller.may(Access.DEPLOY),
    )
    return await accepted(call, change)


def body_of(call: Call) -> tuple[AsyncIterator[bytes], int | None]:
    """A bundle that is sent as the body, and its length if that is known. Raises Invalid when there is none."""
    request = call.request
    if request.content_length is None and "chunked" not in request.headers.get("Transfer-Encoding", "").lower():
        raise Invalid("cannot accept the bundle: the request has no body", hint="curl -T FILE URL", code="api.request")
    return _chunks(request), request.content_length


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises ConnectionError when it breaks off."""
    await go_ahead(request)
    try:
        while chunk := await request.content.readany():
            yield chunk
    except HttpProcessingError as error:
        raise ConnectionResetError(f"the body is not complete: {error.message}") from error


async def missing(call: Call) -> MissingDigests:
    """Which of the named blobs are not here."""
    wanted: Digests = call.body
    found = await asyncio.to_thread(call.control.blobs.missing, wanted.digests)
    return MissingDigests(missing=tuple(sorted(found)))
