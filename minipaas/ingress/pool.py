"""The connections to one instance, how many requests it has in hand, and whether it is set aside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from minipaas.ingress.sticky import mark
from minipaas.model.route import Backend

if TYPE_CHECKING:
    from minipaas.ingress.core import Core
    from minipaas.ingress.guard import Guard
    from minipaas.ingress.side import Side
    from minipaas.ingress.upstream import Upstream


class Pool:
    """One instance. `retired`: no route names it (any more); its connections end with the request they carry."""

    __slots__ = (
        "_mark",
        "_trial",
        "_waiters",
        "aside",
        "backend",
        "core",
        "failures",
        "guard",
        "idle",
        "in_flight",
        "lasting",
        "retired",
        "since",
        "tunnels",
    )

    def __init__(self, core: Core, backend: Backend) -> None:
        self.core = core
        self.backend = backend
        self.idle: list[Upstream] = []
        """The one used last is last, and taken first: the others may time out."""
        self.in_flight = 0
        self.lasting = False
        """It has answered twice over one connection: when it leaves one open, it means to read another request."""
        self.retired = True
        self.failures = 0
        """How often in a row it was set aside. It is back with the first answer."""
        self.since = 0.0
        """When it failed for the first time in that row."""
        self.aside = 0.0
        """Until then others are asked first."""
        self._trial = False
        """A request tries it now, after its time aside."""
        self.guard: Guard | None = None
        """Who waits for it to have less in hand."""
        self._mark = b""
        self.tunnels: set[Side] = set()
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def mark(self) -> bytes:
        """How a cookie names it."""
        if not self._mark:
            self._mark = mark(self.backend.instance)
        return self._mark

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

    def set_aside(self, now: float) -> None:
        """It refused or broke off before a byte of an answer: others are asked first, for a time that doubles with each
        failed trial. What fails at the same moment counts once."""
        if self._trial or now >= self.aside:
            limits = self.core.limits
            if not self.failures:
                self.since = now
            self.failures += 1
            self._trial = False
            self.aside = now + min(limits.aside_most, limits.aside * 2 ** min(self.failures - 1, 30))

    def chosen(self, now: float) -> None:
        """It is asked although it had failed. If its time aside is over, this is the trial; until its end, or for as
        long as connecting may take, the others still go first."""
        if now >= self.aside:
            self._trial = True
            self.aside = now + self.core.limits.connect

    def recovered(self) -> None:
        """It answers."""
        self.failures = 0
        self.aside = 0.0
        self._trial = False

    def leave(self) -> None:
        """One request less."""
        self.in_flight -= 1
        if self.guard is not None:
            self.guard.freed(self)
        if not self.in_flight and (self.retired or self._waiters):
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()
            if self.retired:
                self.core.forget(self)

    def tidy(self, now: float) -> None:
        """Close what has been idle for too long; sooner while there is more than is kept for later: many requests at
        once need as many connections, and the next ones are there before anything could be closed and opened again."""
        limits = self.core.limits
        spare = len(self.idle) - limits.idle_upstream
        for number, upstream in enumerate(tuple(self.idle)):
            if now - upstream.since > (limits.upstream_spare if number < spare else limits.upstream_keep):
                upstream.drop()

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
