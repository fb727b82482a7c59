"""Lines over a TCP connection that is kept, with TLS or without: for syslog, which answers nothing.

What was written is taken for received when the other side's kernel has acknowledged every byte (SIOCOUTQ, tcp(7)) and
the connection still stands; and for safe when it has stood for `limits.SHIP_SETTLE` seconds more, or when the other
side, told that nothing more comes, has read to the end and closed. All of it runs on a thread of its own, so that
neither encryption nor a receiver that is slow is the event loop's trouble.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from minipaas.model.logs import Line
from minipaas.model.shipping import ShipConfig
from minipaas.telemetry import limits
from minipaas.telemetry.shipping.answer import Answer, NotSent
from minipaas.telemetry.shipping.origin import gently
from minipaas.telemetry.shipping.syslog import Syslog
from minipaas.telemetry.shipping.trust import context_of, words_of

T = TypeVar("T")

_BROKEN = "it broke the connection off"


class Stream:
    """Made and used on the event loop."""

    settles = limits.SHIP_SETTLE

    def __init__(self, config: ShipConfig, form: Syslog) -> None:
        self._config = config
        self._form = form
        self._socket: socket.socket | None = None
        self._thread: ThreadPoolExecutor | None = None

    def encode(self, lines: Sequence[Line]) -> bytes:
        """Frames."""
        return self._form.encode(gently(lines))

    async def send(self, body: bytes, lines: Sequence[Line]) -> Answer:
        """Write it all. Raises NotSent; then nobody knows how much of it has arrived."""
        host, port = self._config.address
        end = time.monotonic() + limits.SHIP_ANSWER + (len(body) / self._config.rate if self._config.rate else 0)
        try:
            if self._socket is None:
                async with asyncio.timeout(limits.SHIP_CONNECT):
                    loop = asyncio.get_running_loop()
                    places = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                self._socket = await self._run(lambda: self._connect(places, host))
            connection: socket.socket = self._socket
            await self._run(lambda: _write(connection, body, end))
        except NotSent:
            await self.close()
            raise
        except asyncio.CancelledError:
            await self.close()
            raise
        except (OSError, TimeoutError) as error:  # ssl.SSLError is one
            await self.close()
            raise NotSent(words_of(error)) from None
        return Answer()

    async def stands(self) -> bool:
        """Whether the other side has not closed."""
        connection = self._socket
        if connection is None:
            return False
        try:
            await self._run(lambda: _alive(connection))
        except (OSError, NotSent):
            await self.close()
            return False
        return True

    async def rest(self) -> bool:
        """Say that nothing more comes, and wait for the other side to have read all of it."""
        connection = self._socket
        if connection is None:
            return False
        try:
            return await self._run(lambda: _finish(connection, time.monotonic() + limits.SHIP_CLOSE / 2))
        finally:
            await self.close()

    async def close(self) -> None:
        """Also while something is being written: that ends then."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                await self._run(connection.close)
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False, cancel_futures=True)

    def _connect(self, places: Sequence[tuple[Any, ...]], host: str) -> socket.socket:
        context = context_of(self._config) if self._config.where.scheme == "tls" else None
        failure: OSError | None = None
        for family, kind, protocol, _, address in places:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(limits.SHIP_CONNECT)
                connection.connect(address)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.SHIP_ANSWER * 1000))
                return connection if context is None else context.wrap_socket(connection, server_hostname=host)
            except OSError as error:
                connection.close()
                failure = error
        raise failure or OSError(f"{host} has no address")

    async def _run(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"ship-{self._config.name}")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _write(connection: socket.socket, body: bytes, end: float) -> None:
    """Until the other side's kernel has it. Raises OSError, TimeoutError and NotSent."""
    _alive(connection)
    for begins in range(0, len(body), limits.SHIP_PIECE):
        connection.settimeout(_left(end))
        connection.sendall(body[begins : begins + limits.SHIP_PIECE])
    pause = 0.001
    while _unacknowledged(connection):
        time.sleep(min(pause, _left(end)))
        pause = min(2 * pause, 0.05)
    _alive(connection)


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes that were written and not acknowledged (SIOCOUTQ, which has TIOCOUTQ's number)."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])


def _alive(connection: socket.socket) -> None:
    """Raises NotSent when the other side has closed. It says nothing otherwise; what it says is thrown away."""
    connection.settimeout(0)
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
        while True:
            if not connection.recv(4096):
                raise NotSent(_BROKEN)


def _finish(connection: socket.socket, end: float) -> bool:
    """Whether it read all: it closes then, and without an error only if nothing was left."""
    try:
        connection.settimeout(_left(end))
        if isinstance(connection, ssl.SSLSocket):
            connection = connection.unwrap()
            connection.settimeout(_left(end))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            connection.settimeout(_left(end))
    except (OSError, TimeoutError, ValueError):
        return False
    return True
