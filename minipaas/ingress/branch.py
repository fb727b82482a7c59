"""What goes to one instance by streams: counted, waited for, and in the end cut."""

from __future__ import annotations

import asyncio
from typing import Protocol

from minipaas.model.route import Backend


class Carried(Protocol):
    """A TCP connection, or what a UDP client sends."""

    def cut(self) -> None:
        """End it now."""
        ...


class Branch:
    """One port of one instance."""

    __slots__ = ("_quiet", "backend", "carried", "shunned")

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.carried: set[Carried] = set()
        self.shunned = 0.0
        """Until then others are asked first: it has just refused."""
        self._quiet: asyncio.Event | None = None

    def take(self, one: Carried) -> None:
        """One more."""
        self.carried.add(one)
        if self._quiet is not None:
            self._quiet.clear()

    def leave(self, one: Carried) -> None:
        """One less."""
        self.carried.discard(one)
        if not self.carried and self._quiet is not None:
            self._quiet.set()

    async def quiet(self) -> None:
        """Return when nothing goes to it."""
        while self.carried:
            self._quiet = self._quiet or asyncio.Event()
            self._quiet.clear()
            await self._quiet.wait()

    def cut(self) -> None:
        """End all of it."""
        for one in tuple(self.carried):
            one.cut()


def pick(branches: tuple[Branch, ...], turn: int, now: float, tried: set[Branch]) -> Branch | None:
    """The one that carries least, equals in turn; one that has just refused comes last."""
    count = len(branches)
    ordered = (branches[(turn + offset) % count] for offset in range(count))
    left = [one for one in ordered if one not in tried]
    return min(left, key=lambda one: (one.shunned > now, len(one.carried)), default=None)
