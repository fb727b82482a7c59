"""A WebSocket of the API (RFC 6455), for what goes in both directions or goes on.

What always holds: no page of another site opens one, though browsers would let it and send cookies along (`Origin`
must be this very address, and there must be one where a browser has signed in); there are never more than
`limits.sockets` of them, the last kept for administrators; one whose other side neither reads nor answers pings is let
go; an error after the beginning is said in it, as `{"type": "error", "error": {…}}`, before it closes; none outlives
the surface.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Struct

from minipaas.model.errors import Forbidden, Invalid, MinipaasError
from minipaas.model.typed import to_json
from minipaas.surface import problems
from minipaas.surface.access import Access, check_origin
from minipaas.surface.call import Call, Context
from minipaas.surface.wire import Problem

T = TypeVar("T")

log = logging.getLogger("minipaas.surface")


class SocketError(Struct, frozen=True, kw_only=True, tag="error", tag_field="type"):
    """The last message of a WebSocket that cannot go on."""

    error: Problem


class Socket:
    """The box's side of one. Text is JSON, bytes are bytes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.response = web.WebSocketResponse(
            timeout=context.limits.socket_close,
            heartbeat=context.limits.heartbeat,
            max_msg_size=context.limits.socket_message,
            compress=False,
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, call: Call, *, ends_itself: bool = False) -> AsyncIterator[Socket]:
        """Take the request over. A MinipaasError within the block is said to the client, who then knows the end; a
        client that is gone ends the block quietly. When the surface closes, the client seems to say goodbye, unless the
        block `ends_itself` then."""
        check_socket(call)
        context = call.context
        if len(context.sockets) >= _most(call):
            raise MinipaasError(
                f"cannot open a WebSocket: {len(context.sockets)} are open", hint="close some", code="api.busy"
            )
        socket = cls(context)
        context.sockets[socket.response] = ends_itself
        try:
            await socket.response.prepare(call.request)
            try:
                yield socket
            except MinipaasError as error:
                await socket._say(error)
            except Exception as error:
                if isinstance(error, ConnectionError | TimeoutError):
                    raise
                await socket._say(problems.unforeseen(error, f"{call.request.method} {call.request.path}"))
            await socket.response.close()
        except (ConnectionError, TimeoutError):
            if call.request.transport is not None:
                call.request.transport.abort()
        finally:
            del context.sockets[socket.response]

    async def receive(self) -> str | bytes | None:
        """The next message; None: the client has said goodbye, or is gone."""
        message = await self.response.receive()
        if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
            data: str | bytes = message.data
            return data
        return None

    async def begin(self, kind: type[T], patience: float) -> T:
        """The first message, which says what is wanted. Raises Invalid when it is none or does not come."""
        try:
            async with asyncio.timeout(patience):
                first = await self.receive()
        except TimeoutError:
            first = None
        if not isinstance(first, str):
            raise Invalid("cannot begin: the first message does not say what is wanted", code="api.request")
        message: T = understood(first, kind)
        return message

    async def send(self, message: Struct) -> None:
        """One message of JSON."""
        async with asyncio.timeout(self._context.limits.write_wait):
            await self.response.send_str(to_json(message).decode())

    async def send_bytes(self, data: bytes) -> None:
        """However long the other side takes, which may be a person reading: whoever calls limits that."""
        await self.response.send_bytes(data)

    async def _say(self, error: MinipaasError) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await self.send(SocketError(error=problems.problem(error).error))
            await self.response.close(code=WSCloseCode.INTERNAL_ERROR, message=error.code.encode()[:100])


async def leave(context: Context) -> None:
    """Say goodbye on all that do not end by themselves: the surface closes."""
    going = [socket.close(code=WSCloseCode.GOING_AWAY) for socket, itself in context.sockets.items() if not itself]
    await asyncio.gather(*going, return_exceptions=True)


def check_socket(call: Call) -> None:
    """Refuse who may not have one: no WebSocket asked for, a password that browsers send by themselves, another
    site."""
    if not web.WebSocketResponse().can_prepare(call.request):
        raise Invalid(
            "cannot answer: this is a WebSocket, and the request does not ask for one",
            hint="send Connection: Upgrade and Upgrade: websocket (RFC 6455)",
            code="api.websocket",
        )
    if call.caller.reads_only:
        raise Forbidden(
            "cannot open a WebSocket with a password: send the token as Authorization: Bearer", code="api.basic"
        )
    if call.caller.origin != "socket":
        check_origin(call.request.headers, browser=call.caller.session is not None)


def understood(text: str, kind: Any) -> Any:
    """A message of JSON, as this struct or one of a union of them. Raises Invalid with the path of what does not
    fit."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Invalid(f"cannot read the message: {error}", code="api.request") from None


def _most(call: Call) -> int:
    """How many there may be before this caller gets none any more."""
    limits = call.context.limits
    return limits.sockets if call.caller.may(Access.ADMIN) else limits.sockets - limits.kept_sockets
