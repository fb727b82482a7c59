"""The client's end of a WebSocket of the API, over the Unix socket or TCP.

What always holds: every failure is a `MinipaasError`, what the box refused is raised as the class that it named, and no
wait is longer than `Box.limits`; while the other side is slow, pings still go out, so that the box knows of us.

aiohttp takes a fifth of a second to import: only the commands that need a WebSocket import this module, when they run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import msgspec

from minipaas.model.errors import KINDS, MinipaasError, Unreachable
from minipaas.model.typed import to_json
from minipaas.surface.client import API, Box
from minipaas.surface.connection import reachable_path, tls_context, unreachable
from minipaas.surface.wire import Problem
from minipaas.surface.wire_access import WINDOW, Ended, Notice, Opened, Place, Taken

T = TypeVar("T")

PING = 5.0
"""Seconds between two signs of life."""


class Failed(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """The box cannot go on."""

    error: Problem


Told = Opened | Place | Notice | Taken | Ended | Failed


class Channel:
    """One open WebSocket."""

    def __init__(self, box: Box, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._box = box
        self._socket = socket
        self._ahead = 0
        self._room = asyncio.Event()
        self._room.set()
        self._given_up = False

    @classmethod
    @asynccontextmanager
    async def open(cls, box: Box, path: str) -> AsyncIterator[Channel]:
        """`path` is below /api/v1."""
        address = box.address
        async with contextlib.AsyncExitStack() as stack:
            connector: aiohttp.BaseConnector
            if address.scheme == "unix":
                connector = aiohttp.UnixConnector(stack.enter_context(reachable_path(address.host)))
                url = f"http://localhost{API}{path}"
            else:
                secure = tls_context() if address.scheme == "https" else True
                connector = aiohttp.TCPConnector(ssl=secure)
                url = f"{address}{API}{path}"
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            try:
                async with asyncio.timeout(box.limits.connect):
                    socket = await session.ws_connect(
                        url,
                        headers=box.headers,
                        max_msg_size=0,
                        compress=0,
                        timeout=aiohttp.ClientWSTimeout(ws_close=3),
                    )
            except aiohttp.WSServerHandshakeError as refused:
                await asyncio.to_thread(box.raw, "GET", path)  # says why, as an ordinary answer
                raise MinipaasError(f"cannot open a WebSocket: {address} answered {refused.status}") from None
            except (OSError, aiohttp.ClientError) as error:
                raise unreachable(address, _cause(error), box.limits.connect) from None
            channel = cls(box, socket)
            pings = asyncio.create_task(channel._ping(), name="pings")
            try:
                yield channel
            finally:
                pings.cancel()
                await asyncio.gather(pings, return_exceptions=True)
                await socket.close()

    async def send(self, message: msgspec.Struct) -> None:
        """One message of JSON. Raises Unreachable."""
        try:
            await self._socket.send_str(to_json(message).decode())
        except (ConnectionError, aiohttp.ClientError):
            raise self._lost() from None

    async def send_bytes(self, data: bytes, mark: bytes = b"") -> None:
        """Bytes for the other end, which waits until it takes them; `mark` goes before each message. Raises
        Unreachable."""
        await self._room.wait()
        if self._given_up:
            raise self._lost()
        self._ahead += len(data)
        if self._ahead > WINDOW // 2:
            self._room.clear()
        try:
            await self._socket.send_bytes(mark + data)
        except (ConnectionError, aiohttp.ClientError):
            raise self._lost() from None

    def give_up(self) -> None:
        """Whoever waits for room to send need not wait any more."""
        self._given_up = True
        self._room.set()

    async def receive(self) -> bytes | Opened | Place | Notice | Ended:
        """The next message. Raises what the box says it cannot, Unreachable when the connection breaks off."""
        while True:
            try:
                message = await self._socket.receive(timeout=self._box.limits.silence)
            except TimeoutError:
                raise self._lost() from None
            if message.type is aiohttp.WSMsgType.BINARY:
                data: bytes = message.data
                return data
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise self._lost()
            told: Told = self._box.understand(message.data.encode(), _TOLD)
            if isinstance(told, Failed):
                raise raised(told.error)
            if not isinstance(told, Taken):
                return told
            self._ahead -= told.bytes
            if self._ahead <= WINDOW // 2:
                self._room.set()

    async def hear(self, kind: type[T]) -> T:
        """The next message of JSON, where only these come. Raises as `receive` does."""
        try:
            message = await self._socket.receive(timeout=self._box.limits.silence)
        except TimeoutError:
            raise self._lost() from None
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise self._lost()
        expected: Any = kind | Failed
        told = self._box.understand(message.data.encode(), expected)
        if isinstance(told, Failed):
            raise raised(told.error)
        found: T = told
        return found

    async def _ping(self) -> None:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            while True:
                await asyncio.sleep(PING)
                await self._socket.ping()

    def _lost(self) -> Unreachable:
        return Unreachable(
            f"cannot go on: the connection to {self._box.address} broke off",
            hint="is the box well? minipaas status",
            code="box.broken",
        )


_TOLD: Any = Told


def raised(problem: Problem) -> MinipaasError:
    """What the box said as the error that it is."""
    cls = KINDS.get(problem.kind, MinipaasError)
    return cls(problem.message, hint=problem.hint, code=problem.code)


def _cause(error: Exception) -> Exception:
    """What is behind an error of aiohttp's."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return error
