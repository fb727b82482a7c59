"""The connections to one instance, and how many requests it has in hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from minipaas.model.route import Backend

if TYPE_CHECKING:
    from minipaas.ingress.core import Core
    from minipaas.ingress.exchange import Exchange
    from minipaas.ingress.upstream import Upstream


class Pool:
    """One instance. `retired`: no route names it (any more); its connections end with the request they carry."""

    __slots__ = ("_waiters", "backend", "core", "idle", "in_flight", "lasting", "retired", "shunned", "tunnels")

    def __init__(self, core: Core, backend: Backend) -> None:
        self.core = core
        self.backend = backend
        self.idle: list[Upstream] = []
        """The one used last is last, and taken first: the others may time out."""
        self.in_flight = 0
        self.lasting = False
        """It has answered twice over one connection: when it leaves one open, it means to read another request."""
        self.retired = True
        self.shunned = 0.0
        """Until then others are asked first: it has just refused a connection."""
        self.tunnels: set[Exchange] = set()
        self._waiters: list[asyncio.Future[None]] = []

    def safe(self, now: float) -> bool:
        """Whether a request that must not be sent twice may go over the idle connection used last: the instance is not
        about to close it. An older one may run out of its time just now (RFC 9112, section 9.5). And there are servers
        that close after every answer without a word (busybox's CGI): until one has been seen to last, it has to be open
        for a moment."""
        idle = self.idle
        if self.lasting:
            return now - idle[-1].since <= self.core.limits.fresh
        if not self.core.limits.settled <= now - idle[0].since <= self.core.limits.fresh:
            return False
        idle.append(idle.pop(0))
        return True

    def leave(self) -> None:
        """One request less."""
        self.in_flight -= 1
        if not self.in_flight and (self.retired or self._waiters):
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()
            if self.retired:
                self.core.forget(self)

    def retire(self) -> None:
        """Close what is idle; what is busy ends by itself."""
        self.retired = True
        for upstream in tuple(self.idle):
            upstream.drop()
        if not self.in_flight:
            self.core.forget(self)

    async def quiet(self) -> None:
        """Return when nothing is in flight."""
        while self.in_flight:
            waiter = self.core.loop.create_future()
            self._waiters.append(waiter)
            await waiter
