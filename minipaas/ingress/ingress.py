"""The ingress as the rest of minipaas sees it: routes in, requests through, drain, proofs, counters.

What always holds: a request is answered by the table as it was when its head was complete; `set_app` takes effect for
all routes and streams of the app at once; nothing here raises because of what a client or an instance sends.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Sequence
from typing import Protocol

from msgspec import Struct

from minipaas.ingress.accesslog import AccessLog
from minipaas.ingress.client import Client
from minipaas.ingress.core import Core, Moved
from minipaas.ingress.counters import Tally
from minipaas.ingress.guard import Guard
from minipaas.ingress.limits import Limits, StreamLimits, connections_allowed
from minipaas.ingress.listen import bind
from minipaas.ingress.origin import NOBODY, Proxies
from minipaas.ingress.proof import ProofResult, ask, blind
from minipaas.ingress.streams import Streams
from minipaas.ingress.table import Target
from minipaas.ingress.tls import Certificates, Secure
from minipaas.model.errors import MinipaasError
from minipaas.model.route import Backend, Route, RouteEntry
from minipaas.model.stream import StreamEntry
from minipaas.model.traffic import IngressCounters

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_READ_LIMIT = 128 * 1024


class TlsDoor(Struct, frozen=True, kw_only=True):
    """Where and how TLS is spoken. `plain`: hosts, as routes write them, that answer without it too."""

    certificates: Certificates
    listen: Sequence[tuple[str, int]] = ()
    ready: Sequence[socket.socket] = ()
    redirect: bool = True
    plain: frozenset[str] = frozenset()
    hsts: int = 0
    """Seconds; 0: not said."""


class Elder(Protocol):
    """The ingress of the process before this one: its connections are still there, and live by the routes of now."""

    def set_app(self, app: str, entries: tuple[RouteEntry, ...], streams: tuple[StreamEntry, ...] = ()) -> None: ...
    async def drain(self, instances: tuple[str, ...], timeout: float) -> bool: ...  # noqa: ASYNC109


class Ingress:
    """An HTTP/1.1 reverse proxy, and one for streams. All methods are for the event loop that `start` ran on."""

    def __init__(self, limits: Limits | None = None, stream_limits: StreamLimits | None = None) -> None:
        self._core = Core(limits or Limits())
        self.streams = Streams(stream_limits)
        """TCP and UDP ports."""
        self._apps: dict[str, tuple[RouteEntry, ...]] = {}
        self._servers: list[asyncio.Server] = []
        self.elder: Elder | None = None
        """Set while another process still has connections."""
        self.addresses: tuple[tuple[str, int], ...] = ()
        """Where it listens: (IP address, port)."""
        self.secure: tuple[tuple[str, int], ...] = ()
        """Where it listens with TLS."""

    async def start(
        self,
        listen: Sequence[tuple[str, int]],
        *,
        ready: Sequence[socket.socket] = (),
        tls: TlsDoor | None = None,
        proxies: Proxies = NOBODY,
        access_log: AccessLog | None = None,
    ) -> None:
        """Listen on these (IP address, port) pairs; port 0 is any free one. And on sockets that are `ready`: they
        listen already, and are closed at the end. With `tls`, also there. Once more: there instead of where it listens
        now. `proxies` are believed about whom they ask for. Requests are told to `access_log`, which is closed at the
        end. Raises MinipaasError when one cannot be had, and then listens nowhere."""
        core = self._core
        self._stop_listening()
        core.loop = asyncio.get_running_loop()
        core.room = connections_allowed(core.limits)
        core.proxies = proxies
        sockets = [*ready, *bind(listen, core.limits.backlog)]
        await self._end_log()
        core.access_log = access_log
        if access_log is not None:
            access_log.start()
        if tls is not None:
            await self._start_tls(tls)
        for sock in sockets:
            server = await core.loop.create_server(core.client, sock=sock, backlog=core.limits.backlog)
            self._servers.append(server)
        self.addresses = tuple(sock.getsockname()[:2] for sock in sockets)
        self.streams.open()

    async def _start_tls(self, tls: TlsDoor) -> None:
        core = self._core
        sockets = [*tls.ready, *bind(tls.listen, core.limits.backlog)]
        for sock in sockets:
            server = await core.loop.create_server(
                lambda: Secure(core, tls.certificates), sock=sock, backlog=core.limits.backlog
            )
            self._servers.append(server)
        self.secure = tuple(sock.getsockname()[:2] for sock in sockets)
        if tls.redirect and self.secure:
            core.moved = Moved(self.secure[0][1], tls.plain)
            core.swap(core.table.entries)
        if tls.hsts:
            core.hsts = b"Strict-Transport-Security: max-age=%d\r\n" % tls.hsts

    async def leave(self, limit: float) -> None:
        """Accept nothing more here: another process does. Connections go on until they have been answered once more,
        told that this was the last time; tunnels and streams until they end; all for at most `limit` seconds."""
        self._stop_listening()
        await asyncio.gather(self._core.leave(limit), self.streams.leave(limit))
        await self._end_log()

    async def close(self, drain: float) -> None:
        """Accept nothing more, let requests under way end for at most `drain` seconds, close everything."""
        self._stop_listening()
        await asyncio.gather(self._core.close(drain), self.streams.close(drain))
        await self._end_log()

    async def _end_log(self) -> None:
        log = self._core.access_log
        if log is not None:
            # What is still counted then is told to nobody.
            await asyncio.to_thread(log.close)

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        self.addresses = self.secure = ()

    # -- routes

    def set_app(self, app: str, entries: tuple[RouteEntry, ...], streams: tuple[StreamEntry, ...] = ()) -> None:
        """Replace all routes and streams of an app in one swap; none takes them down."""
        for entry in entries:
            if entry.app != app:
                raise MinipaasError(f"cannot set the routes of {app}: {entry.route} belongs to {entry.app}")
        for one in streams:
            if one.app != app:
                raise MinipaasError(f"cannot set the routes of {app}: {one.stream} belongs to {one.app}")
        if entries:
            self._apps[app] = entries
        else:
            self._apps.pop(app, None)
        self._core.swap(entry for owned in self._apps.values() for entry in owned)
        self.streams.set_app(app, streams)
        if self.elder is not None:
            self.elder.set_app(app, entries, streams)

    def routes(self) -> tuple[RouteEntry, ...]:
        """The table now, sorted."""
        return self._core.table.entries

    def challenge(self, path: bytes, answer: bytes | None) -> None:
        """Answer a path ourselves, whatever its host, without TLS too; None: no more. For proofs to who signs
        certificates."""
        self._core.challenge(path, answer)

    def counters(self) -> IngressCounters:
        """All counts at this instant."""
        core = self._core
        return IngressCounters(
            connections=len(core.clients),
            accepted=core.accepted,
            turned_away=core.turned_away,
            refused=core.refused,
            unrouted=core.unrouted,
            unlogged=core.access_log.lost if core.access_log is not None else 0,
            routes=tuple(t.picture() for t in core.table.targets),
            instances=self._in_flight(),
            streams=self.streams.counters(),
        )

    def _in_flight(self) -> dict[str, int]:
        found = self.streams.in_flight()
        for pool in self._core.pools.values():
            key = pool.backend.instance
            found[key] = found.get(key, 0) + pool.in_flight
        return found

    async def drain(self, instances: Collection[str], timeout: float) -> bool:  # noqa: ASYNC109 (the contract of the room)
        """Wait until no request is in flight to these instances (container ids), at most `timeout` seconds; then
        close the tunnels (WebSockets) and streams to them that are left. Returns whether all had ended by
        themselves."""
        drains = [self._drain(instances, timeout), self.streams.drain(instances, timeout)]
        if self.elder is not None:
            drains.append(self.elder.drain(tuple(instances), timeout))
        return all(await asyncio.gather(*drains))

    async def _drain(self, instances: Collection[str], timeout: float) -> bool:  # noqa: ASYNC109
        pools = [pool for pool in self._core.pools.values() if pool.backend.instance in instances]
        try:
            async with asyncio.timeout(timeout):
                for pool in pools:
                    await pool.quiet()
        except TimeoutError:
            for pool in pools:
                for client in tuple(pool.tunnels):
                    client.part()
            return False
        return True

    # -- proofs

    async def prove(self, backend: Backend, host: str, path: str, timeout: float) -> ProofResult:  # noqa: ASYNC109
        """GET `path` of `host` from one instance, routed or not, through the data path that clients use. The request
        comes over a socket pair: no listener, header or address lets anybody else choose an instance."""
        ours, theirs = socket.socketpair()
        core = self._core
        core.loop = asyncio.get_running_loop()
        host = _example_of(host)
        entry = RouteEntry(Route(host, "/"), "", "", (backend,))
        target = Target(entry, (core.pool(backend),), Tally(), Guard(core))
        try:
            theirs.setblocking(False)
            await core.loop.connect_accepted_socket(lambda: Client(core, target), theirs)
            reader, writer = await asyncio.open_connection(sock=ours, limit=_READ_LIMIT)
        except OSError as error:
            ours.close()
            theirs.close()
            return ProofResult(False, None, f"GET {path}: {error.strerror or error}")
        return await ask(reader, writer, host, path, timeout)

    async def prove_route(self, route: Route, path: str, timeout: float) -> ProofResult:  # noqa: ASYNC109
        """GET `path` (the route's prefix when `path` is outside of it) over the public listener, as a client would:
        with TLS where clients without it are sent away. Whose certificate is shown is not judged here."""
        if not self.addresses and not self.secure:
            return ProofResult(False, None, f"GET {path}: the ingress is not listening")
        asked = self._address_of(route, path)
        if asked is None:
            return ProofResult(False, None, f"GET {path}: {route} is not in the route table")
        host, path, moved = asked
        secure = moved or not self.addresses
        address, port = (self.secure if secure else self.addresses)[0]
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(
                    _EVERYWHERE.get(address, address),
                    port,
                    limit=_READ_LIMIT,
                    ssl=blind() if secure else None,
                    server_hostname=host if secure else None,
                )
        except OSError as error:
            return ProofResult(False, None, f"GET {path}: cannot reach {address}:{port}: {error.strerror or 'timeout'}")
        return await ask(reader, writer, host, path, timeout)

    def _address_of(self, route: Route, path: str) -> tuple[str, str, bool] | None:
        """A host and path that the table gives to this route and to no narrower one, and whether clients without TLS
        are sent away there."""
        hosts = [_example_of(route.host)]
        if route.host == "*":
            hosts.append("minipaas-probe.invalid")
        inside = route.prefix in ("/", path) or path.startswith(route.prefix + "/")
        for host in hosts:
            for candidate in (path, route.prefix) if inside else (route.prefix,):
                target = self._core.table.lookup(host.encode(), candidate.partition("?")[0].encode())
                if target is not None and target.entry.route == route:
                    return host, candidate, target.moved
        return None


def _example_of(host: str) -> str:
    """A host name that a route's host covers."""
    return "localhost" if host == "*" else host.replace("*", "minipaas-probe", 1)
