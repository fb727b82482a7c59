"""One open port: who answers there, what it has counted, and how many may come. What TCP and UDP have in common."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from minipaas.ingress.branch import Branch, Carried, pick
from minipaas.model.stream import Stream, StreamEntry
from minipaas.model.traffic import StreamCounters

if TYPE_CHECKING:
    from minipaas.ingress.streams import Streams


class Gate:
    """Knows its entry as long as the port is open. `carried`: the connections of now, also to instances before."""

    def __init__(self, streams: Streams, entry: StreamEntry) -> None:
        self.streams = streams
        self.limits = streams.limits
        self.entry = entry
        self.branches: tuple[Branch, ...] = ()
        self.carried: set[Carried] = set()
        self.trouble = ""
        """Why the port is not open; empty: it is."""
        self.hint = ""
        self.connections = self.refused = self.retries = self.received = self.sent = self.dropped = 0
        self._turn = 0
        self._news = asyncio.Event()

    @property
    def stream(self) -> Stream:
        return self.entry.stream

    def become(self, entry: StreamEntry) -> None:
        """Others answer from now on. Counts go on unless the port is another service's now."""
        if (entry.app, entry.service) != (self.entry.app, self.entry.service):
            self.connections = self.refused = self.retries = self.received = self.sent = self.dropped = 0
        self.entry = entry
        self.branches = tuple(self.streams.branch(backend) for backend in entry.backends)
        news, self._news = self._news, asyncio.Event()
        news.set()

    def room(self) -> bool:
        """Whether one more may come; one that may not is counted."""
        self.connections += 1
        free = len(self.carried) < self.entry.connections and self.streams.carried < self.streams.room
        self.refused += not free
        return free

    def pick(self, tried: set[Branch]) -> Branch | None:
        """Whoever is to be asked next."""
        found = pick(self.branches, self._turn, self.streams.loop.time(), tried)
        self._turn += 1
        return found

    async def changed(self) -> None:
        """Return when others answer."""
        await self._news.wait()

    def counters(self) -> StreamCounters:
        """Frozen."""
        return StreamCounters(
            stream=self.stream,
            app=self.entry.app,
            service=self.entry.service,
            active=len(self.carried),
            connections=self.connections,
            refused=self.refused,
            retries=self.retries,
            received=self.received,
            sent=self.sent,
            dropped=self.dropped,
        )

    # -- the protocol's part

    def listen(self, sockets: list[socket.socket]) -> None:
        """Let clients in here; the sockets are the gate's from now on."""
        raise NotImplementedError

    def shut(self, *, handed_on: bool) -> None:
        """Let nobody in any more; who is connected stays. `handed_on`: another process has the port too; else it is
        free afterwards."""
        raise NotImplementedError

    def look(self, now: float) -> None:
        """Time passes."""
        raise NotImplementedError
