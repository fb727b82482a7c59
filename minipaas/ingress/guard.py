"""What the requests of one service pass before an instance is chosen: its limits, and the places where they may wait.

A request waits when every instance has as much in hand as the service allows (the queue), and when no instance is there
and one is on its way (the pause while a pinned service is replaced, or after a crash) or all that are there have begun
to refuse. What is asked too much of decides the status: 413 and 429 where the client itself is to do otherwise,
503 with Retry-After where it is not at fault and the same request will do later.

What always holds: whoever waits has sent nothing to an instance that counts; it is first come, first served; nobody
waits longer than the service allows, and nothing of what a client sends meanwhile is read beyond a buffer. A guard
lives as long as its service has a route, whatever happens to instances and limits.
"""

from __future__ import annotations

import time
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from minipaas.ingress import pages, sticky
from minipaas.ingress.request import CHUNKED
from minipaas.model.route import RouteEntry, RouteOptions

if TYPE_CHECKING:
    from minipaas.ingress.core import Core
    from minipaas.ingress.exchange import Exchange
    from minipaas.ingress.pages import Fault
    from minipaas.ingress.pool import Pool
    from minipaas.ingress.side import Side
    from minipaas.ingress.table import Target

_now = time.monotonic


class Guard:
    """One service. `waiting`: in order, with what each is told if its turn does not come."""

    __slots__ = ("_callers", "_held_since", "_present", "core", "options", "waiting")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.options = RouteOptions()
        self.waiting: dict[Exchange, Fault] = {}
        self._held_since = 0.0
        """When the pause began; 0: there is none."""
        self._callers: dict[str, int] = {}
        """Requests by client, where those are counted."""
        self._present: dict[Side, str] = {}

    def follow(self, entry: RouteEntry) -> bool:
        """Take what a route of the service says; whether its requests have to `enter`."""
        self.options = options = entry.options
        if not entry.held:
            self._held_since = 0.0
        elif not self._held_since:
            self._held_since = _now()
        limited = options.max_body or options.max_in_flight or options.max_per_client
        return bool(limited or options.first_byte or options.sticky or entry.held)

    # -- a request comes and goes

    def enter(self, client: Exchange, target: Target) -> None:
        """Let a request go on to an instance, have it wait, or turn it away."""
        options, request = self.options, client.request
        if options.max_body:
            if request.length > options.max_body:
                client.turn_away(pages.LARGE_BODY)
                return
            if request.length == CHUNKED:
                client.limit_body(options.max_body)
        if options.max_per_client and not self._count(client):
            client.turn_away(pages.TOO_MANY)
            return
        self.place(client, target)

    def place(self, client: Exchange, target: Target) -> None:
        """Let a request that is within the limits go on, or have it wait."""
        options = self.options
        if not target.pools:
            self._wait(client, target, self._hold_left(target), pages.NO_BACKEND, self.core.limits.waiting)
            return
        pool = self._pick(client, target)
        if pool is None:
            client.turn_away(pages.NO_BACKEND)
        elif self._full(pool) or (options.max_in_flight and self.waiting):
            self._wait(client, target, options.queue_timeout, pages.BUSY, options.queue)
        else:
            client.proceed(pool)

    def again(self, client: Exchange, target: Target, other: Pool | None, fault: Fault) -> bool:
        """A request has come back, with `other` left to try. Whether it waits here; if not, `other` may have it."""
        options, limits = self.options, self.core.limits
        if other is not None:
            return self._full(other) and self._wait(
                client, target, options.queue_timeout, pages.BUSY, options.queue + len(target.pools)
            )
        if not target.pools:
            return self._wait(client, target, self._hold_left(target), fault, limits.waiting)
        if fault is pages.RESET and client.resets >= limits.attempts:
            return False
        failing = self.core.now - max(pool.since for pool in target.pools)
        return self._wait(client, target, options.hold - failing, fault, limits.waiting)

    def left(self, client: Side) -> None:
        """A request that had entered is over."""
        caller = self._present.pop(client, None)
        if caller is not None:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]

    def forget(self, client: Exchange) -> Fault:
        """It does not wait any more. Returns what it was to be told."""
        client.waits = None
        return self.waiting.pop(client)

    def _count(self, client: Exchange) -> bool:
        """Whether the client has not as many requests under way as it may; then this is one more."""
        caller = client.request.fields.via.client
        if ":" in caller:
            # Whoever has one IPv6 address has a whole /64 of them.
            caller = str(IPv6Network((caller, 64), strict=False))
        count = self._callers.get(caller, 0)
        if count >= self.options.max_per_client:
            return False
        self._callers[caller] = count + 1
        self._present[client] = caller
        return True

    # -- the wait

    def look(self) -> None:
        """Routes or instances may have changed: whoever has somewhere to go, goes."""
        for client in tuple(self.waiting):
            target = client.find()
            if target is None:
                client.turn_away(self.forget(client))
            elif target.guard is not self:
                # Its route belongs to another service now.
                self.forget(client)
                target.guard.place(client, target)
            elif not target.pools:
                if self._hold_left(target) <= 0:
                    client.turn_away(self.forget(client))
            else:
                self._go(client, target)

    def freed(self, pool: Pool) -> None:
        """An instance of the service has a request less in hand."""
        if not self.waiting:
            pool.guard = None
        elif not pool.failures:
            for client in tuple(self.waiting):
                target = client.find()
                if target is not None and target.guard is self and self._go(client, target):
                    return

    def dismiss(self) -> None:
        """Nobody is to come any more."""
        for client in tuple(self.waiting):
            client.turn_away(self.forget(client))

    def _go(self, client: Exchange, target: Target) -> bool:
        """Let one that waits go on, if an instance has room. Many have waited where nobody was: not all at once."""
        pool = self._pick(client, target)
        if pool is None or pool.in_flight >= (self.options.max_in_flight or self.core.limits.rush):
            for one in target.pools:
                one.guard = self
            return False
        self.forget(client)
        client.proceed(pool)
        return True

    def _wait(self, client: Exchange, target: Target, seconds: float, fault: Fault, room: int) -> bool:
        """Have a request wait, if there is `room` and time for it, or turn it away with `fault`. True."""
        if seconds <= 0 or len(self.waiting) >= room:
            client.turn_away(fault)
            return True
        self.waiting[client] = fault
        for pool in target.pools:
            pool.guard = self
        client.hold(self, seconds)
        return True

    def _hold_left(self, target: Target) -> float:
        """For how many seconds more requests may wait for the first instance."""
        return self._held_since + self.options.hold - _now() if target.entry.held else 0.0

    # -- instances

    def _pick(self, client: Exchange, target: Target) -> Pool | None:
        now = self.core.now
        if self.options.sticky:
            pool = sticky.chosen(client.request.fields.block, target.pools)
            if pool is not None and pool.aside <= now:
                return pool
        return target.pick(now)

    def _full(self, pool: Pool) -> bool:
        return 0 < self.options.max_in_flight <= pool.in_flight
