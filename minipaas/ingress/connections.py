"""TCP streams: a client's connection and one to an instance, and what either says goes to the other as it is.

    OPENING ──an instance took it──> OPEN ──one side has said all──> HALF ──the other too──> CLOSING ──> gone
       └── nobody did ──> gone

What always holds: what waits for a slow reader is bounded, and then the other side is not read; the end of one side is
told to the other, which may go on; a connection to an instance belongs to one client; who has been let in is
counted exactly until both sides are gone.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

from minipaas.ingress.branch import Branch
from minipaas.ingress.gate import Gate

if TYPE_CHECKING:
    from minipaas.ingress.streams import Streams
    from minipaas.model.stream import StreamEntry


_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class TcpGate(Gate):
    """An open TCP port."""

    def __init__(self, streams: Streams, entry: StreamEntry) -> None:
        super().__init__(streams, entry)
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._open = False
        self.reachable = ("127.0.0.1", self.stream.port)
        """Where this box itself can connect to it."""

    def listen(self, sockets: list[socket.socket]) -> None:
        self._open = True
        self._sockets = sockets
        address, port = sockets[0].getsockname()[:2]
        self.reachable = (_HERE.get(address, address), port)
        # They listen already: whoever comes before the task has run waits in the kernel's queue.
        self.streams.hold(self._accept(sockets), f"ingress: {self.stream}")

    async def _accept(self, sockets: list[socket.socket]) -> None:
        for sock in sockets:
            if not self._open:
                return
            server = await self.streams.loop.create_server(lambda: Client(self), sock=sock)
            if not self._open:
                server.close()
                return
            self._servers.append(server)

    def shut(self, *, handed_on: bool) -> None:
        self._open = False
        for server in self._servers:
            server.close()
        for sock in self._sockets[len(self._servers) :]:
            sock.close()
        self._servers, self._sockets = [], []

    def look(self, now: float) -> None:
        idle, half, closing = self.entry.idle, self.limits.half_gap, self.limits.closing
        for one in tuple(self.carried):
            link = cast(Link, one)
            patience = closing if link.closing else min(idle, half) if link.half else idle
            if not link.opening and now - link.since > patience:
                link.cut()


class Link:
    """One client of a gate."""

    __slots__ = ("_branch", "_opening", "client", "closing", "gate", "half", "held", "only", "server", "since")

    def __init__(self, gate: Gate, client: Client, only: Branch | None) -> None:
        self.gate = gate
        self.client = client
        self.server: Server | None = None
        self.half = self.closing = False
        self.held: list[bytes] = []
        """What the client has said before an instance took it: one piece, then it is not read."""
        self.only = only
        """The one instance that may answer; None: any of the gate's."""
        self.since = gate.streams.now
        self._branch: Branch | None = None
        self._opening = gate.streams.hold(self._connect(), f"ingress: connect {gate.stream}")

    @property
    def opening(self) -> bool:
        """Nobody has taken it yet."""
        return self.server is None

    async def _connect(self) -> None:
        """Ask one instance after the other; where there is none, wait for one."""
        gate, limits = self.gate, self.gate.limits
        tried: set[Branch] = set()
        try:
            async with asyncio.timeout(limits.wait):
                for attempt in range(limits.attempts):
                    while (branch := self._next(tried)) is None:
                        if tried:
                            tried.clear()
                            await asyncio.sleep(limits.tick)
                        elif gate.entry.held:
                            await gate.changed()
                        else:
                            self._refuse()
                            return
                    gate.retries += attempt > 0
                    if await self._ask(branch):
                        return
                    tried.add(branch)
        except TimeoutError:
            pass
        self._refuse()

    def _next(self, tried: set[Branch]) -> Branch | None:
        if self.only is not None:
            return None if self.only in tried else self.only
        return self.gate.pick(tried)

    async def _ask(self, branch: Branch) -> bool:
        """Whether this one takes it. It counts for it from now on, so that a drain waits for it."""
        streams = self.gate.streams
        self._branch = branch
        branch.take(self)
        backend = branch.backend
        try:
            async with asyncio.timeout(self.gate.limits.connect):
                await streams.loop.create_connection(lambda: Server(self), backend.host, backend.port)
        except (OSError, TimeoutError):
            self._branch = None
            branch.leave(self)
            branch.shunned = streams.loop.time() + self.gate.limits.shun
            return False
        return True

    def _refuse(self) -> None:
        self.gate.refused += 1
        self.cut()

    def opened(self, server: Server) -> None:
        """An instance has taken it."""
        self.server = server
        self.since = self.gate.streams.now
        if self.client.gone:
            server.transport.abort()
            return
        for data in self.held:
            server.transport.write(data)
        self.held.clear()
        if self.client.ended:
            server.end()
        else:
            self.client.transport.resume_reading()

    def ended(self, side: Side) -> bool:
        """This side has said all. Whether its connection stays open for the other's words."""
        self.half = True
        other = self.other(side)
        if other is None:
            return True  # an instance hears it when it takes the connection
        other.end()
        if other.ended:
            self.closing = True
            return False
        return True

    def other(self, side: Side) -> Side | None:
        """The side that hears what this one says."""
        return self.server if side is self.client else self.client

    def lost(self, side: Side, error: Exception | None) -> None:
        """This side is gone: what the other has still to hear is said to it, then it ends too."""
        if self.server is None and side is self.client:
            self._opening.cancel()
        other = self.other(side)
        if other is not None and not other.gone:
            self.closing = True
            self.since = self.gate.streams.now
            if error is not None:
                other.transport.abort()
            else:
                other.transport.close()
        if self.client.gone and (self.server is None or self.server.gone):
            self._leave()

    def _leave(self) -> None:
        if self not in self.gate.carried:
            return
        self.gate.carried.remove(self)
        if self._branch is not None:
            self._branch.leave(self)
            self._branch = None
        self.gate.streams.left()

    def cut(self) -> None:
        """End it now, on both sides."""
        for side in (self.client, self.server):
            if side is not None and not side.gone:
                side.transport.abort()


class Side(asyncio.Protocol):
    """One of the two connections."""

    link: Link
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.ended = False
        """It has said all."""
        self.gone = False
        self.told = False
        """It was told that the other has said all."""

    def _made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        limits = self.link.gate.limits
        self.transport.set_write_buffer_limits(limits.write_high, limits.write_low)

    def end(self) -> None:
        """The other side has said all: this one is to hear that, once."""
        if not self.told and not self.gone and not self.transport.is_closing():
            self.told = True
            self.transport.write_eof()

    def eof_received(self) -> bool:
        self.ended = True
        return self.link.ended(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.link.lost(self, exc)

    def pause_writing(self) -> None:
        other = self.link.other(self)
        if other is not None and not other.gone:
            other.transport.pause_reading()

    def resume_writing(self) -> None:
        other = self.link.other(self)
        if other is not None and not other.gone and not other.transport.is_closing():
            other.transport.resume_reading()


class Client(Side):
    """The one that came in. `only`: see Link."""

    def __init__(self, gate: Gate, only: Branch | None = None) -> None:
        super().__init__()
        self._gate = gate
        self._only = only
        self._in = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        gate = self._gate
        if self._only is None and not gate.room():
            cast(asyncio.Transport, transport).abort()
            return
        self._in = True
        _keep_alive(transport, gate.limits.keep_alive)
        gate.streams.joined()
        self.link = Link(gate, self, self._only)
        gate.carried.add(self.link)
        self._made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._in:
            return
        link = self.link
        link.gate.received += len(data)
        link.since = link.gate.streams.now
        if link.server is not None:
            if not link.server.gone:
                link.server.transport.write(data)
        else:
            link.held.append(data)
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        return self._in and super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._in:
            super().connection_lost(exc)


class Server(Side):
    """The one to an instance."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self.link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made(transport)
        self.link.opened(self)

    def data_received(self, data: bytes) -> None:
        link = self.link
        link.gate.sent += len(data)
        link.since = link.gate.streams.now
        if not link.client.gone:
            link.client.transport.write(data)


def _keep_alive(transport: asyncio.BaseTransport, times: tuple[int, int, int]) -> None:
    """Let the kernel find out that a peer is dead."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in zip((socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT), times, strict=True):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
