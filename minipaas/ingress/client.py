"""One connection of a client: cuts what arrives into requests, one at a time, and paces both sides.

A client that ends its side before the answer has come has gone away, as for other proxies; the request is given up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from minipaas.ingress import pages
from minipaas.ingress.exchange import Exchange
from minipaas.ingress.pages import Fault
from minipaas.ingress.request import NOTHING, incomplete, parse
from minipaas.ingress.states import (
    ANSWER,
    CLOSING,
    CONNECT,
    GONE,
    HALF,
    HEAD,
    IDLE,
    LINGER,
    NEXT,
    SEND,
    TUNNEL,
    WAIT,
)

if TYPE_CHECKING:
    from minipaas.ingress.core import Core
    from minipaas.ingress.origin import Origin
    from minipaas.ingress.table import Target

_REMEMBERED = 4 * 1024
"""Heads up to this size are remembered while a connection is idle; larger ones would cost too much memory."""


class Client(Exchange):
    """The half of a client's connection that faces the client. `pin`: see Exchange."""

    __slots__ = ("_origin", "_raw", "_scanned")

    def __init__(self, core: Core, pin: Target | None = None, *, secure: bool = False) -> None:
        super().__init__(core, pin, secure=secure)
        self._origin: Origin
        """Who is at the other end."""
        self._raw = b""
        """The last request's head as it came; the next one is often the same."""
        self._scanned = 0
        """So much of the input holds no end of a head."""

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        core = self.core
        self.transport.set_write_buffer_limits(core.limits.write_high, core.limits.write_low)
        room = core.joined(self)
        self.since = core.now
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else "127.0.0.1"
        self._origin = core.proxies.origin(address, self.secure)
        if not room:
            self._refuse(pages.FULL)

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state == IDLE:
            if self._raw and data.startswith(self._raw):
                self._buffer = data[len(self._raw) :]
                self._begin(self.request)
            else:
                self.since = self.core.now
                self._buffer = data
                self._scanned = 0
                self._read_head()
        elif state == SEND or (state == ANSWER and self.left):
            self._pass_body(data)
        elif state in (TUNNEL, HALF):
            self.since = self.core.now
            if self.upstream is not None:
                self.upstream.transport.write(data)
        elif state == HEAD:
            self._buffer += data
            self._read_head()
        elif state not in (LINGER, CLOSING, GONE):
            # A body that has nowhere to go yet, or the next requests.
            self._buffer += data
            if len(self._buffer) > self.core.limits.held:
                self._read(False)

    def eof_received(self) -> bool:
        if self.state in (TUNNEL, HALF):
            return self.half_closed(by_client=True)
        self._give_up()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up()
        self.state = GONE
        self.core.left(self)

    def pause_writing(self) -> None:
        self.stalled = True
        self.since = self.core.now
        if self.upstream is not None:
            self.upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        self.stalled = False
        self.since = self.core.now
        if self.upstream is not None:
            self.upstream.transport.resume_reading()
        elif self.state == NEXT:
            self._next()

    # -- one request after the other

    def _read_head(self) -> None:
        buffer = self._buffer
        if buffer.startswith(b"\r\n") and not self._scanned:
            # RFC 9112, section 2.2: an empty line before a request is let pass; one is enough.
            buffer = self._buffer = buffer[2:]
            self._scanned = 1
        self.state = HEAD
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3)) + 4
        if end < 4:
            if buffer != b"\r":
                self._scanned = max(self._scanned, len(buffer))
            fault = incomplete(buffer, self.core.limits) if buffer not in (b"", b"\r") else None
            if fault is not None:
                self._refuse(fault)
            return
        head = buffer if end == len(buffer) else buffer[:end]
        request = parse(head, self.request, self._origin, self.core.limits)
        if isinstance(request, Fault):
            self._refuse(request)
            return
        self._buffer = buffer[end:]
        self._raw = head if end <= _REMEMBERED else b""
        self._begin(request)

    def _settle(self) -> None:
        """Ready for the next request; the ones behind it may be here already."""
        self.since = self.core.now
        if not self._raw:
            self.request = NOTHING
        if self._buffer or self.stalled:
            self.state = NEXT
            if not self.stalled:
                # Later, not now: a long row of requests must not become a deep stack.
                self.core.loop.call_soon(self._next)
        else:
            self.state = IDLE
            self._read(True)

    def _next(self) -> None:
        if self.state != NEXT or self.stalled:
            return
        self.since = self.core.now
        self._scanned = 0
        self._read(True)
        if self._buffer:
            self._read_head()
        else:
            self.state = IDLE
        if len(self._buffer) > self.core.limits.held:
            self._read(False)

    def _refuse(self, fault: Fault) -> None:
        """The connection is of no more use."""
        self.core.refused += 1
        self._keep = False
        self.transport.write(pages.render(fault, fields=self._buffer, close=True))
        self._linger()

    # -- called by core

    @property
    def idle(self) -> bool:
        """Between two requests, with nothing left to write."""
        return self.state == IDLE and not self.transport.get_write_buffer_size()

    def part(self) -> None:
        """End an idle connection or a tunnel; whatever else is under way goes on."""
        if self.state in (TUNNEL, HALF):
            self._drop_upstream(politely=True)
            self._close()
        elif self.state == IDLE:
            self._close()

    def cut(self) -> None:
        """End at once, whatever is under way."""
        self._give_up()
        self.transport.abort()
        self.core.left(self)

    def expired(self) -> None:
        """Nothing has moved for longer than the present state allows."""
        self.core.refused += self.state in (HEAD, SEND)
        if self.stalled or self.state in (ANSWER, NEXT, LINGER, CLOSING):
            self.cut()
        elif self.state == HEAD:
            self._refuse(pages.SLOW_HEAD)
        elif self.state == SEND:
            self._fail(pages.SLOW_BODY if self._reading else pages.NO_ANSWER)
        elif self.state == WAIT:
            self._fail(pages.NO_ANSWER)
        elif self.state == CONNECT:
            self._fail(pages.NO_CONNECT)
        elif self.waits is not None:
            self.turn_away(self.waits.forget(self))
        else:
            self.part()
