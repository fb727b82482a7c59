"""One connection of a client: reads requests, one at a time, and has an instance answer them.

    IDLE ─> HEAD ─> CONNECT ─> SEND ─> WAIT ─> ANSWER ─> IDLE, or NEXT when the next request is here already
                                        └─> TUNNEL ─> HALF    or CLOSING / LINGER when the connection ends

What always holds: `upstream` is set exactly in SEND, WAIT, ANSWER, TUNNEL and HALF; from the choice of an instance to
the end of the request exactly one pool and one tally count it as in flight; a request is sent again only while no byte
of an answer has come and it has no body and an idempotent method, or when it never reached an instance; after a refusal
no further request is read from the connection.
A client that ends its side before the answer has come has gone away, as for other proxies; the request is given up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from minipaas.ingress import pages
from minipaas.ingress.chunked import ChunkedBody
from minipaas.ingress.limits import Limits
from minipaas.ingress.pages import Fault
from minipaas.ingress.request import CHUNKED, NOTHING, Request, incomplete, parse

if TYPE_CHECKING:
    from minipaas.ingress.core import Core
    from minipaas.ingress.pool import Pool
    from minipaas.ingress.table import Target
    from minipaas.ingress.upstream import Upstream

IDLE, HEAD, CONNECT, SEND, WAIT, ANSWER, NEXT, TUNNEL, HALF, LINGER, CLOSING, GONE = range(12)


def patience_of(limits: Limits) -> dict[int, float]:
    """How long each state may last without anything moving, in seconds."""
    return {
        IDLE: limits.keep_alive,
        HEAD: limits.head_time,
        CONNECT: (limits.connect + limits.tick) * limits.attempts,
        SEND: limits.body_gap,
        WAIT: limits.first_byte,
        ANSWER: limits.answer_gap,
        NEXT: limits.send_gap,
        TUNNEL: limits.tunnel_gap,
        HALF: limits.half_gap,
        LINGER: limits.linger,
        CLOSING: limits.send_gap,
        GONE: limits.linger,
    }


class Client(asyncio.Protocol):
    """See the module. `pin`: everything goes to this target, whatever the route table says."""

    __slots__ = (
        "_body",
        "_buffer",
        "_connecting",
        "_halves",
        "_keep",
        "_origin",
        "_pin",
        "_pool",
        "_raw",
        "_reading",
        "_scanned",
        "_target",
        "_tried",
        "_tries",
        "core",
        "left",
        "request",
        "since",
        "stalled",
        "state",
        "transport",
        "upstream",
    )

    def __init__(self, core: Core, pin: Target | None = None) -> None:
        self.core = core
        self.transport: asyncio.Transport
        self.upstream: Upstream | None = None
        self.request = NOTHING
        """The present one, or the last."""
        self.state = IDLE
        self.since = core.now
        """When the present state began, or something last moved in it."""
        self.stalled = False
        """The client does not take what is written to it."""
        self.left = 0
        """What is to come of the request's body: bytes, or CHUNKED."""
        self._pin = pin
        self._origin = b""
        self._buffer = b""
        """Input not used yet."""
        self._scanned = 0
        """So much of it holds no end of a head."""
        self._raw = b""
        """The last request as it came, when it was nothing but a head."""
        self._target: Target | None = None
        """Set from the start of a request to its end."""
        self._pool: Pool | None = None
        self._tried: tuple[Pool, ...] = ()
        self._tries = 0
        self._connecting: asyncio.Task[None] | None = None
        self._body: ChunkedBody | None = None
        self._keep = True
        self._reading = True
        self._halves = 0
        """Which sides of a tunnel have said all: 1 the client, 2 the instance."""

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        core = self.core
        self.transport.set_write_buffer_limits(core.limits.write_high, core.limits.write_low)
        room = core.joined(self)
        self.since = core.now
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else "127.0.0.1"
        self._origin = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: http\r\n" % address.encode()
        if not room:
            self._refuse(pages.FULL)

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state == IDLE:
            if data == self._raw:
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

    # -- the request

    def _read_head(self) -> None:
        buffer = self._buffer
        if buffer.startswith(b"\r\n") and not self._scanned:
            # RFC 9112, section 2.2: an empty line before a request is let pass; one is enough.
            buffer = self._buffer = buffer[2:]
            self._scanned = 1 if buffer else 0
        self.state = HEAD
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3)) + 4
        if end < 4:
            self._scanned = len(buffer) if buffer != b"\r" else 0
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
        self._raw = head if not request.length else b""
        self._begin(request)

    def _begin(self, request: Request) -> None:
        """A whole head is here, `_buffer` holds what came behind it: choose an instance."""
        core = self.core
        self.request = request
        self.since = core.now
        self.left = request.length
        target = self._pin
        if target is None:
            if request.table is not core.table:
                request.table = core.table
                request.target = core.table.lookup(request.host, request.path)
            target = request.target
            if target is None:
                core.unrouted += 1
                self._page(pages.UNKNOWN_ROUTE)
                return
        self._target = target
        tally = target.tally
        tally.requests += 1
        tally.in_flight += 1
        self._tries = 0
        self._tried = ()
        if request.length:
            self._body = ChunkedBody() if request.length == CHUNKED else None
        pool = target.pick(core.now)
        if pool is None:
            self._page(pages.NO_BACKEND)
        else:
            self._try(pool, False)

    def _try(self, pool: Pool, fresh: bool) -> None:
        """Send the request to an instance; over a new connection when `fresh`, or when a stale one would do harm."""
        pool.in_flight += 1
        self._pool = pool
        self._tries += 1
        idle = pool.idle
        core = self.core
        if idle and not fresh and (self.request.repeatable or core.now - idle[-1].since <= core.limits.fresh):
            self._send(idle.pop())
        else:
            self.state = CONNECT
            self._connecting = core.connect(pool, self)

    def _send(self, upstream: Upstream) -> None:
        self.upstream = upstream
        upstream.send(self, self.request.forward)
        if self.left:
            self.state = SEND
            data, self._buffer = self._buffer, b""
            if data:
                self._pass_body(data)
        else:
            self.state = WAIT

    def _pass_body(self, data: bytes) -> None:
        upstream = self.upstream
        if upstream is None:
            raise AssertionError("a body to pass on without an instance")
        self.since = self.core.now
        if self._body is not None:
            out = self._body.feed(data)
            if self._body.broken:
                self._fail(pages.BAD_BODY)
                return
            if out:
                upstream.transport.write(out)
            if self._body.done:
                self._buffer = self._body.rest
                self._body = None
                self.left = 0
        elif len(data) <= self.left:
            self.left -= len(data)
            upstream.transport.write(data)
        else:
            upstream.transport.write(data[: self.left])
            self._buffer = data[self.left :]
            self.left = 0
        if not self.left and self.state == SEND:
            self.state = WAIT

    # -- called by core and upstream

    @property
    def idle(self) -> bool:
        """Between two requests, with nothing left to write."""
        return self.state == IDLE and not self.transport.get_write_buffer_size()

    def connected(self, upstream: Upstream) -> None:
        """The connection this client asked for is open."""
        self._connecting = None
        if self.left:
            self._read(True)
        self._send(upstream)

    def not_connected(self, fault: Fault) -> None:
        """It is not: the request has not reached anybody, so any other instance may have it."""
        self._connecting = None
        pool, target = self._pool, self._target
        if pool is None or target is None:
            raise AssertionError("connected for nobody")
        pool.shunned = self.core.now + self.core.limits.shun
        self._again(fault)

    def lost(self, upstream: Upstream, waiting: bool) -> None:
        """The instance closed the connection; `waiting`: for the head of its answer."""
        self.upstream = None
        if self.state in (TUNNEL, HALF):
            self._close()
        elif not waiting:
            self._cut_off()
        elif upstream.spoke or not self.request.repeatable:
            self._page(pages.RESET)
        else:
            self._again(pages.RESET, stale=upstream.served > 0)

    def _again(self, fault: Fault, stale: bool = False) -> None:
        """Try another instance; the same one over a new connection when it was only the old connection that ended."""
        pool, target = self._pool, self._target
        if pool is None or target is None:
            raise AssertionError("a request to repeat that was never tried")
        if not stale:
            self._tried += (pool,)
        self._leave()
        if self._tries < self.core.limits.attempts:
            # The table may have changed since: instances that are gone from it must not be asked any more.
            if self._pin is None:
                target = self.core.table.lookup(self.request.host, self.request.path) or target
            other = pool if stale and not pool.retired else target.pick(self.core.now, self._tried)
            if other is not None:
                target.tally.retries += 1
                self._try(other, stale)
                return
        self._page(fault)

    def answering(self, status: int) -> bool:
        """The head of the final answer is here; whether the client's connection stays afterwards."""
        core = self.core
        if self._target is not None:
            self._target.tally.classes[status // 100] += 1
        self.state = ANSWER
        self.since = core.now
        self._keep = keep = self.request.keep and not self.left and not core.closing
        return keep

    def answered(self) -> None:
        """The whole answer was written."""
        self.upstream = None
        self._leave()
        self._end()
        if self.left:
            self._linger()
        elif not self._keep or self.core.closing:
            self._close()
        else:
            self._settle()

    def bad_answer(self) -> None:
        """The instance answered with something else than HTTP."""
        self.upstream = None
        self._page(pages.BAD_ANSWER)

    def tunnel(self, head: bytes) -> None:
        """The instance switched protocols: from now on bytes only."""
        if self._target is not None:
            self._target.tally.classes[1] += 1
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

    def pause_upload(self) -> None:
        """The instance does not take what is written to it."""
        self._read(False)

    def resume_upload(self) -> None:
        """It does again."""
        self._read(True)

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
        else:
            self.part()

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

    def _settle(self) -> None:
        """Ready for the next request; the ones behind it may be here already."""
        self.since = self.core.now
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
        if self._buffer:
            self._read_head()
        else:
            self.state = IDLE
        if self.state in (IDLE, HEAD, WAIT):
            self._read(len(self._buffer) <= self.core.limits.held)

    def _fail(self, fault: Fault) -> None:
        """Stop what the instance is doing and say why; when an answer has begun, just stop."""
        begun = self.state == ANSWER
        self._drop_upstream()
        if begun:
            self._cut_off()
        else:
            self._page(fault)

    def _refuse(self, fault: Fault) -> None:
        """The connection is of no more use."""
        self.core.refused += 1
        self._keep = False
        self._write_page(fault, self._buffer, close=True, head_only=False)
        self._linger()

    def _page(self, fault: Fault) -> None:
        """Answer the present request ourselves."""
        request = self.request
        if self._target is not None:
            self._target.tally.classes[fault.status // 100] += 1
        keep = request.keep and not self.left and not self.core.closing and fault.code != pages.BAD_BODY.code
        self._leave()
        self._end()
        self._write_page(fault, request.fields.block, close=not keep, head_only=request.head_only)
        if keep:
            self._settle()
        else:
            self._linger()

    def _write_page(self, fault: Fault, fields: bytes, *, close: bool, head_only: bool) -> None:
        self.transport.write(pages.render(fault, fields=fields, close=close, head_only=head_only))

    def _cut_off(self) -> None:
        """An answer that broke in the middle must not look complete."""
        if self._target is not None:
            self._target.tally.broken += 1
        self._leave()
        self._end()
        if self.request.old:
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

    def _give_up(self) -> None:
        """The client is gone, or has to go."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self.upstream is not None and self.state not in (TUNNEL, HALF) and self._target is not None:
            self._target.tally.broken += 1
        self._drop_upstream(politely=self.state in (TUNNEL, HALF))
        self._leave()
        self._end()
        self.state = CLOSING

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
