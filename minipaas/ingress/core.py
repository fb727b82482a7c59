"""What all connections share: the route table of this instant, the pools, the limits, one clock.

Time-outs are checked by one tick for all connections instead of a timer each: a request then costs no timer at all.
`now` is the loop's time at the last tick; it stands still only while there is no connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from minipaas.ingress import pages
from minipaas.ingress.client import Client
from minipaas.ingress.counters import Tally
from minipaas.ingress.exchange import Exchange
from minipaas.ingress.guard import Guard
from minipaas.ingress.limits import Limits
from minipaas.ingress.logged import LoggedClient
from minipaas.ingress.origin import NOBODY
from minipaas.ingress.pool import Pool
from minipaas.ingress.states import IDLE, patience_of
from minipaas.ingress.table import RouteTable, Target
from minipaas.ingress.upstream import Upstream
from minipaas.model.route import Backend, RouteEntry

if TYPE_CHECKING:
    from minipaas.ingress.accesslog import AccessLog
    from minipaas.ingress.request import Request
    from minipaas.ingress.tls import Secure


class Moved(Struct, frozen=True):
    """Clients without TLS are sent to `port`, except for routes whose host is in `plain`."""

    port: int
    plain: frozenset[str]


class Core:
    """One a process. Lives on one event loop; nothing here is for other threads."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.table = RouteTable()
        self.pools: dict[Backend, Pool] = {}
        self.guards: dict[tuple[str, str], Guard] = {}
        """By app and service."""
        self.clients: set[Client] = set()
        self.room = limits.connections
        """How many clients at once."""
        self.closing = False
        """Every answer says that it is the last one of its connection."""
        self.parting = False
        """Nobody is waited for any more, also who was told that the connection stays."""
        self.now = 0.0
        self.accepted = self.turned_away = self.refused = self.unrouted = 0
        self.moved: Moved | None = None
        """Where clients without TLS are sent."""
        self.proxies = NOBODY
        """Who may speak for others."""
        self.challenges: dict[bytes, bytes] = {}
        """What this box itself answers, by path: proofs for who is about to sign a certificate (RFC 8555, 8.3)."""
        self.access_log: AccessLog | None = None
        self.hsts = b""
        """The Strict-Transport-Security line for answers over TLS."""
        self.loop: asyncio.AbstractEventLoop
        self._ticking: asyncio.TimerHandle | None = None
        self._patience = patience_of(limits)
        self._connecting: set[asyncio.Task[None]] = set()
        self._shaking: dict[Secure, None] = {}
        """Connections before the end of their handshake, the oldest first."""
        self._gone: asyncio.Future[None] | None = None

    # -- routes

    def swap(self, entries: Iterable[RouteEntry]) -> None:
        """Make `entries` the table. Counts of routes that stay go on; pools of instances that went are retired."""
        tallies = {(t.entry.route, t.entry.app, t.entry.service): t.tally for t in self.table.targets}
        before, self.guards = self.guards, {}
        targets = []
        named: set[Backend] = set()
        for entry in entries:
            key = (entry.route, entry.app, entry.service)
            named.update(entry.backends)
            moved = self.moved is not None and entry.route.host not in self.moved.plain
            pools = tuple(map(self.pool, entry.backends))
            service = (entry.app, entry.service)
            guard = self.guards[service] = self.guards.get(service) or before.get(service) or Guard(self)
            targets.append(Target(entry, pools, tallies.get(key) or Tally(), guard, moved=moved))
        self.table = RouteTable(targets)
        for backend, pool in tuple(self.pools.items()):
            if backend in named:
                pool.retired = False
            elif not pool.retired:
                pool.retire()
        for guard in {*before.values(), *self.guards.values()}:
            if guard.waiting:
                guard.look()

    def challenge(self, path: bytes, answer: bytes | None) -> None:
        """Answer this path whatever its host, route or not; None: no more."""
        if answer is None:
            self.challenges.pop(path, None)
        else:
            self.challenges[path] = answer
        self.table = RouteTable(self.table.targets)  # another table: nobody goes on by a look that is remembered

    def location(self, request: Request) -> bytes:
        """The same address with TLS."""
        port = self.moved.port if self.moved is not None else 443
        where = request.host if port == 443 else b"%b:%d" % (request.host, port)
        return b"https://%b%b" % (where, request.forward.split(b" ", 2)[1])

    def pool(self, backend: Backend) -> Pool:
        """The pool of an instance; made when there is none."""
        pool = self.pools.get(backend)
        if pool is None:
            pool = self.pools[backend] = Pool(self, backend)
        return pool

    def forget(self, pool: Pool) -> None:
        """A retired pool has nothing left in flight."""
        if self.pools.get(pool.backend) is pool:
            del self.pools[pool.backend]

    # -- connections

    def connect(self, pool: Pool, client: Exchange) -> asyncio.Task[None]:
        """Open a connection to an instance for `client`, which hears how it went; cancel the task to give up."""
        task = self.loop.create_task(self._connect(pool, client), name=f"ingress-connect-{pool.backend.port}")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return task

    async def _connect(self, pool: Pool, client: Exchange) -> None:
        backend = pool.backend
        try:
            async with asyncio.timeout(self.limits.connect):
                _, upstream = await self.loop.create_connection(lambda: Upstream(pool), backend.host, backend.port)
        except TimeoutError:
            client.not_connected(pages.NO_CONNECT)
        except OSError:
            client.not_connected(pages.REFUSED)
        else:
            client.connected(upstream)

    def client(self, *, secure: bool = False) -> Client:
        """What reads a new connection of a client."""
        if self.access_log is not None:
            return LoggedClient(self, self.access_log, secure=secure)
        return Client(self, secure=secure)

    def joined(self, client: Client) -> bool:
        """A client connected; False when there is no room for it."""
        self._start_ticking()
        self.accepted += 1
        if len(self.clients) >= self.room:
            self._shed()
        room = len(self.clients) < self.room
        self.turned_away += not room
        self.clients.add(client)
        return room

    def left(self, client: Client) -> None:
        """A client is gone."""
        self.clients.discard(client)
        self._perhaps_gone()

    def shaking(self, one: Secure) -> None:
        """A connection that is to speak TLS; when there are too many, the oldest of them has had its time."""
        self._start_ticking()
        one.since = self.now
        if len(self._shaking) >= self.limits.handshakes:
            oldest = next(iter(self._shaking))
            del self._shaking[oldest]
            oldest.expired()
        self._shaking[one] = None

    def shaken(self, one: Secure) -> None:
        """Its handshake is over, whatever came of it; if it is a client now, it has joined."""
        self._shaking.pop(one, None)
        self._perhaps_gone()

    def _perhaps_gone(self) -> None:
        if not self.clients and not self._shaking and self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _shed(self) -> None:
        """Let the idle ones go, those silent longest first, to make room for a sixteenth."""
        idle = sorted((client for client in self.clients if client.idle), key=lambda client: client.since)
        for client in idle[: max(1, self.room // 16)]:
            client.cut()

    # -- time

    def _start_ticking(self) -> None:
        if self._ticking is None:
            self.now = self.loop.time()
            self._ticking = self.loop.call_later(self.limits.tick, self._tick)

    def _tick(self) -> None:
        self.now = now = self.loop.time()
        patience, send_gap = self._patience, self.limits.send_gap
        for client in tuple(self.clients):
            if now - client.since > (send_gap if client.stalled else patience[client.state]):
                client.expired()
        for one in tuple(self._shaking):
            if now - one.since <= self.limits.handshake:
                break
            one.expired()
        for guard in self.guards.values():
            if guard.waiting:
                guard.look()
        idle = False
        for pool in tuple(self.pools.values()):
            pool.tidy(now)
            idle = idle or bool(pool.idle)
        self._ticking = (
            self.loop.call_later(self.limits.tick, self._tick) if self.clients or self._shaking or idle else None
        )

    # -- the end

    async def leave(self, limit: float) -> None:
        """Answer each connection once more, and let it go; after `limit` seconds cut what is left. One that is idle, or
        in its handshake, is not closed before: its client may be about to ask."""
        self.closing = True
        if self.clients or self._shaking:
            self._gone = self.loop.create_future()
            await asyncio.wait((self._gone,), timeout=limit)
        await self.close(0)

    async def close(self, drain: float) -> None:
        """Let requests under way finish for `drain` seconds, then cut what is left."""
        self.closing = self.parting = True
        for guard in self.guards.values():
            guard.dismiss()
        for one in tuple(self._shaking):
            one.expired()
        for client in tuple(self.clients):
            if client.state == IDLE:
                client.part()
        if self.clients:
            self._gone = self.loop.create_future()
            await asyncio.wait((self._gone,), timeout=drain)
        for client in tuple(self.clients):
            client.cut()
        for task in tuple(self._connecting):
            task.cancel()
        if self._connecting:
            await asyncio.wait(tuple(self._connecting), timeout=1.0)
        for pool in tuple(self.pools.values()):
            pool.retire()
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
