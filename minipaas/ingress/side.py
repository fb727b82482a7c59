"""A client's connection with its present request: what it holds, and how each of the two ends.

What always holds: `upstream` is set exactly in SEND, WAIT, ANSWER, TUNNEL and HALF; after a refusal no further request
is read from the connection; what an instance still does for a request ends with it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from abc import abstractmethod
from typing import TYPE_CHECKING

from minipaas.ingress import pages
from minipaas.ingress.chunked import ChunkedBody
from minipaas.ingress.pages import Fault
from minipaas.ingress.request import NOTHING
from minipaas.ingress.states import ANSWER, CLOSING, HALF, IDLE, LINGER, TUNNEL

if TYPE_CHECKING:
    from minipaas.ingress.core import Core
    from minipaas.ingress.guard import Guard
    from minipaas.ingress.pool import Pool
    from minipaas.ingress.table import Target
    from minipaas.ingress.upstream import Upstream

_now = time.monotonic
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST (socket(7))."""


class Side(asyncio.Protocol):
    """What `Exchange` and `Client` stand on. `pin`: everything goes to this target, whatever the route table says."""

    __slots__ = (
        "_begun",
        "_body",
        "_buffer",
        "_connecting",
        "_halves",
        "_keep",
        "_pin",
        "_pool",
        "_reading",
        "_target",
        "_tried",
        "_tries",
        "cookie",
        "core",
        "left",
        "request",
        "resets",
        "secure",
        "since",
        "stalled",
        "state",
        "transport",
        "upstream",
        "waits",
    )

    def __init__(self, core: Core, pin: Target | None = None, *, secure: bool = False) -> None:
        self.core = core
        self.secure = secure
        """The client came with TLS."""
        self.transport: asyncio.Transport
        self.upstream: Upstream | None = None
        self.request = NOTHING
        """The present one, or the last."""
        self.state = IDLE
        self.since = core.now
        """When the present state began, or something last moved in it; another time where a route is more or less
        patient than `limits`."""
        self.waits: Guard | None = None
        """Set exactly in HELD."""
        self.cookie = b""
        """A line for the answer that is to come."""
        self.stalled = False
        """The client does not take what is written to it."""
        self.left = 0
        """What is to come of the request's body: bytes, or CHUNKED."""
        self._pin = pin
        self._begun = 0.0
        """When the head of the present request was complete."""
        self._buffer = b""
        """Input not used yet."""
        self._target: Target | None = None
        """Set from the start of a request to its end."""
        self._pool: Pool | None = None
        self._tried: tuple[Pool, ...] = ()
        self._tries = 0
        self.resets = 0
        """How often an instance had the present request, and ended without a word. It may be the request itself."""
        self._connecting: asyncio.Task[None] | None = None
        self._body: ChunkedBody | None = None
        self._keep = True
        self._reading = True
        self._halves = 0
        """Which sides of a tunnel have said all: 1 the client, 2 the instance."""

    @abstractmethod
    def _settle(self) -> None:
        """The request is answered and the connection stays."""

    @abstractmethod
    def part(self) -> None:
        """End an idle connection or a tunnel."""

    # -- a tunnel

    def tunnel(self, head: bytes) -> None:
        """The instance switched protocols: from now on bytes only."""
        if self._target is not None:
            self._target.tally.answered(101, _now() - self._begun)
        if self._pool is not None:
            self._pool.tunnels.add(self)
        self.state = TUNNEL
        self.since = self.core.now
        self._keep = False
        self.transport.write(head)
        data, self._buffer = self._buffer, b""
        if data and self.upstream is not None:
            self.upstream.transport.write(data)
        self._read(True)

    def half_closed(self, by_client: bool) -> bool:
        """One side of a tunnel has said all; tell the other. Whether this connection stays open."""
        self._halves |= 1 if by_client else 2
        if self.upstream is None or self._halves == 3:
            self.part()
            return False
        self.state = HALF
        self.since = self.core.now
        (self.upstream.transport if by_client else self.transport).write_eof()
        return True

    # -- ends

    def _leave(self) -> None:
        """The instance has nothing more to do with this request."""
        pool, self._pool = self._pool, None
        if pool is not None:
            if self.state in (TUNNEL, HALF):
                pool.tunnels.discard(self)
            pool.leave()

    def _end(self) -> None:
        """The request is over."""
        target, self._target = self._target, None
        if target is not None:
            target.tally.in_flight -= 1
            if target.guarded:
                target.guard.left(self)
                self.cookie = b""

    def _fail(self, fault: Fault) -> None:
        """Stop what the instance is doing and say why; when an answer has begun, just stop."""
        begun = self.state == ANSWER
        self._stop_connecting()
        self._drop_upstream()
        if begun:
            self._cut_off()
        else:
            self._page(fault)

    def _page(self, fault: Fault, location: bytes = b"") -> None:
        """Answer the present request ourselves."""
        request = self.request
        if self._target is not None:
            self._target.tally.answered(fault.status, _now() - self._begun)
        keep = request.keep and not self.left and not self.core.closing and fault.code != pages.BAD_BODY.code
        self._leave()
        self._end()
        page = pages.render(
            fault, fields=request.fields.block, close=not keep, head_only=request.head_only, location=location
        )
        self.transport.write(page)
        if keep:
            self._settle()
        else:
            self._linger()

    def _prove(self, answer: bytes) -> None:
        """Show to who is about to sign a certificate that this box answers for the host."""
        request = self.request
        keep = request.keep and not self.left and not self.core.closing
        self.transport.write(pages.proof(answer, close=not keep, head_only=request.head_only))
        if keep:
            self._settle()
        else:
            self._linger()

    def _cut_off(self) -> None:
        """An answer that broke in the middle must not look complete."""
        if self._target is not None:
            self._target.tally.broken += 1
        self._leave()
        self._end()
        if self.request.old:
            # Nothing but a reset tells this client that the end of the connection is not the end of the answer.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()
            self.state = CLOSING
        else:
            self._close()

    def _close(self) -> None:
        self._leave()
        self._end()
        self.state = CLOSING
        self.since = self.core.now
        self.transport.close()

    def _linger(self) -> None:
        """Say that nothing more comes, and drop input until the client has read it: closing with unread input would
        reset the connection, and the answer with it."""
        self.state = LINGER
        self.since = self.core.now
        self._buffer = b""
        self.transport.write_eof()
        self._read(True)

    def _stop_connecting(self) -> None:
        """A connection that comes too late must not carry what has been answered."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None

    def _drop_upstream(self, politely: bool = False) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.drop(politely)

    def _read(self, on: bool) -> None:
        if on != self._reading:
            self._reading = on
            if on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()
