"""One request after the other of a client's connection, each with the instance that answers it.

What always holds: from the choice of an instance to the end of the request exactly one pool and one tally count it as
in flight; a request is sent again only while no byte of an answer has come and it has no body and an idempotent method,
or when it never reached an instance.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from minipaas.ingress import pages, sticky
from minipaas.ingress.chunked import ChunkedBody
from minipaas.ingress.pages import Fault
from minipaas.ingress.request import CHUNKED, Request
from minipaas.ingress.side import Side
from minipaas.ingress.states import ANSWER, CLOSING, CONNECT, HALF, HELD, SEND, TUNNEL, WAIT

if TYPE_CHECKING:
    from minipaas.ingress.guard import Guard
    from minipaas.ingress.pool import Pool
    from minipaas.ingress.table import Target
    from minipaas.ingress.upstream import Upstream
    from minipaas.model.route import Route

_now = time.monotonic
_JOIN = 16 * 1024
"""A body up to this size that is here already is copied behind the head, to be one write."""

_CHALLENGE = b"/.well-known/acme-challenge/"
"""Asked for over plain HTTP by who is about to sign a certificate (RFC 8555, section 8.3)."""


class Exchange(Side):
    """The half of a client's connection that deals with instances; `Client` is the other half."""

    __slots__ = ()

    # -- the request on its way

    def _begin(self, request: Request) -> None:
        """A whole head is here, `_buffer` holds what came behind it: choose an instance."""
        core = self.core
        self.request = request
        self.since = core.now
        self.left = request.length
        target = self._pin
        if target is None:
            if request.table is not core.table:
                if core.challenges and request.path in core.challenges:
                    self._prove(core.challenges[request.path])
                    return
                request.table = core.table
                request.target = core.table.lookup(request.host, request.path)
            target = request.target
            if target is None:
                core.unrouted += 1
                self._page(pages.UNKNOWN_ROUTE)
                return
        self._target = target
        self._begun = _now()
        tally = target.tally
        tally.requests += 1
        tally.in_flight += 1
        self._tries = 0
        self._tried = ()
        self.resets = 0
        if request.length:
            self._body = ChunkedBody(named=request.fields.named) if request.length == CHUNKED else None
        if target.moved and not request.secure and not request.path.startswith(_CHALLENGE):
            self._page(pages.MOVED, core.location(request))
            return
        if target.guarded:
            target.guard.enter(self, target)
            return
        pool = target.pick(core.now)
        if pool is None:
            self._page(pages.NO_BACKEND)
        else:
            self._try(pool, False)

    def _try(self, pool: Pool, fresh: bool) -> None:
        """Send the request to an instance; over a new connection when `fresh`, or when a kept one could do harm."""
        pool.in_flight += 1
        self._pool = pool
        self._tries += 1
        idle = pool.idle
        core = self.core
        if idle and not fresh and (self.request.repeatable or pool.safe(core.now)):
            self._send(idle.pop())
        else:
            self.state = CONNECT
            self._connecting = core.connect(pool, self)

    def _send(self, upstream: Upstream) -> None:
        self.upstream = upstream
        head = self.request.forward
        left = self.left
        if not left:
            self.state = WAIT
            upstream.send(self, head)
        elif left == len(self._buffer) <= _JOIN:
            self.state = WAIT
            self.left = 0
            upstream.send(self, head + self._buffer)
            self._buffer = b""
        else:
            self.state = SEND
            upstream.send(self, head)
            data, self._buffer = self._buffer, b""
            if data:
                self._pass_body(data)

    def _pass_body(self, data: bytes) -> None:
        upstream = self.upstream
        if upstream is None:
            raise AssertionError("a body to pass on without an instance")
        self.since = self.core.now
        if self._body is not None:
            out = self._body.feed(data)
            if self._body.broken:
                self.core.refused += 1
                self._fail(self._body.fault)
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
            self._expect()

    # -- what the guard of a service says

    @property
    def route(self) -> Route | None:
        """Of the present request."""
        return self._target.entry.route if self._target is not None else None

    def find(self) -> Target | None:
        """Who answers the present request, as things are now."""
        return self._pin or self.core.table.lookup(self.request.host, self.request.path)

    def limit_body(self, most: int) -> None:
        """What comes in chunks may be so large."""
        self._body = ChunkedBody(most=most, named=self.request.fields.named)

    def hold(self, guard: Guard, seconds: float) -> None:
        """Wait until the guard says more, for so long at most."""
        self.waits = guard
        self.state = HELD
        self.since = self.core.now + seconds

    def proceed(self, pool: Pool) -> None:
        """Go on to this instance."""
        self.since = self.core.now
        self._tries = 0
        self._tried = ()
        if self.left:
            self._read(True)
        self._try(pool, False)
        self._expect()

    def turn_away(self, fault: Fault) -> None:
        """No instance gets the request."""
        self._page(fault)

    def _expect(self) -> None:
        """When the whole request is sent: the answer has as long as its route says."""
        if self.state == WAIT and self._target is not None and self._target.guard.options.first_byte:
            self.since = self.core.now + self._target.guard.options.first_byte - self.core.limits.first_byte

    # -- what core and the connection to the instance report

    def connected(self, upstream: Upstream) -> None:
        """The connection this client asked for is open."""
        self._connecting = None
        if self.left:
            self._read(True)
        self._send(upstream)
        self._expect()

    def not_connected(self, fault: Fault) -> None:
        """It is not: the request has not reached anybody, so any other instance may have it."""
        self._connecting = None
        pool, target = self._pool, self._target
        if pool is None or target is None:
            raise AssertionError("connected for nobody")
        pool.set_aside(self.core.now)
        self._again(fault)

    def lost(self, upstream: Upstream, waiting: bool) -> None:
        """The instance closed the connection; `waiting`: for the head of its answer."""
        self.upstream = None
        if self.state in (TUNNEL, HALF):
            self._close()
        elif not waiting:
            self._cut_off()
        else:
            stale = upstream.served > 0
            self.resets += not stale
            if self._pool is not None and not stale and not upstream.spoke:
                self._pool.set_aside(self.core.now)
            if upstream.spoke or not self.request.repeatable:
                self._page(pages.RESET)
            else:
                self._again(pages.RESET, stale=stale)

    def _again(self, fault: Fault, stale: bool = False) -> None:
        """Try another instance; the same one over a new connection when it was only the old connection that ended."""
        pool, target = self._pool, self._target
        if pool is None or target is None:
            raise AssertionError("a request to repeat that was never tried")
        if not stale:
            self._tried += (pool,)
        self._leave()
        # The table may have changed since: instances that are gone from it must not be asked any more.
        target = self.find() or target
        other = None
        if self._tries < self.core.limits.attempts:
            other = pool if stale and not pool.retired else target.pick(self.core.now, self._tried)
        if target.guard.again(self, target, other, fault):
            return
        if other is None:
            self._page(fault)
        else:
            target.tally.retries += 1
            self._try(other, stale)

    def answering(self, status: int) -> bool:
        """The head of the final answer is here; whether the client's connection stays afterwards."""
        core = self.core
        pool, target = self._pool, self._target
        if target is not None:
            target.tally.answered(status, _now() - self._begun)
            if target.guarded and pool is not None and target.guard.options.sticky:
                self.cookie = sticky.line(self.request.fields.block, pool, target.entry.route, self.request.secure)
        if pool is not None and pool.failures:
            pool.recovered()
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
        elif not self._keep or self.core.parting:
            self._close()
        else:
            self._settle()

    def bad_answer(self) -> None:
        """The instance answered with something else than HTTP."""
        self.upstream = None
        self._page(pages.BAD_ANSWER)

    def pause_upload(self) -> None:
        """The instance does not take what is written to it."""
        self._read(False)

    def resume_upload(self) -> None:
        """It does again."""
        self._read(True)

    def _give_up(self) -> None:
        """The client is gone, or has to go."""
        if self.waits is not None:
            self.waits.forget(self)
        self._stop_connecting()
        if self.upstream is not None and self.state not in (TUNNEL, HALF) and self._target is not None:
            self._target.tally.broken += 1
        self._drop_upstream(politely=self.state in (TUNNEL, HALF))
        self._leave()
        self._end()
        self.state = CLOSING
