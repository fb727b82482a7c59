"""The ingress between made-up clients and instances: every byte, delay and loss of connection comes from here.

No sockets and no event loop. `Core` opens its connections here instead of at the operating system; all the rest is as
it runs on a box.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from minipaas.ingress.accesslog import AccessLog
from minipaas.ingress.client import Client
from minipaas.ingress.core import Core
from minipaas.ingress.exchange import Exchange
from minipaas.ingress.limits import Limits
from minipaas.ingress.origin import Proxies
from minipaas.ingress.pool import Pool
from minipaas.ingress.upstream import Upstream
from minipaas.model.route import Backend, Route, RouteEntry, RouteOptions

LIMITS = Limits()
BACKENDS = (Backend("i0", "127.0.0.1", 1), Backend("i1", "127.0.0.1", 2))
OPTIONS = (
    RouteOptions(),
    RouteOptions(sticky=True, first_byte=5.0),
    RouteOptions(max_in_flight=1, queue=1, queue_timeout=3.0, max_per_client=1, hold=5.0),
    RouteOptions(max_body=50, hold=20.0),
)
TABLES = tuple(
    (RouteEntry(Route("*", "/"), "app", "web", backends, options, held),)
    for options in OPTIONS
    for backends, held in ((BACKENDS, False), (BACKENDS[:1], False), ((), False), ((), True))
)


class Handle:
    """What `call_later` and `create_task` give."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As much of an event loop as the data path asks for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.soon: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.later: list[tuple[float, Callable[..., object], tuple[Any, ...], Handle]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        self.soon.append((callback, arguments))

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> Handle:
        handle = Handle()
        self.later.append((self.now + delay, callback, arguments, handle))
        return handle

    def run_soon(self) -> None:
        """Everything that is ready now."""
        for _ in range(len(self.soon)):
            callback, arguments = self.soon.popleft()
            callback(*arguments)

    def advance(self, seconds: float) -> None:
        """Time goes by."""
        self.now += seconds
        due = [one for one in self.later if one[0] <= self.now]
        self.later = [one for one in self.later if one[0] > self.now]
        for _, callback, arguments, handle in due:
            if not handle.cancelled:
                callback(*arguments)


class _Socket:
    def setsockopt(self, *_: object) -> None:
        """Accepted."""


class Wire(asyncio.Transport):
    """A transport whose other end is the script of a conversation. Writes are taken at once; `full` says otherwise."""

    def __init__(self, loop: Loop, protocol: Any, peer: str = "127.0.0.1") -> None:
        super().__init__()
        self.loop = loop
        self.protocol = protocol
        self.peer = peer
        self.sent = bytearray()
        self.on_write: Callable[[], None] | None = None
        self.reading = True
        self.full = False
        self.ended = False
        """Its end was told to the other side."""
        self.closed = False
        self.lost = False

    def write(self, data: Any) -> None:
        if self.closed or self.ended:
            return
        self.sent += data
        if self.on_write is not None:
            self.on_write()

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self.closed = self.ended = True
            self.loop.call_soon(self.lose)

    abort = close

    def lose(self, error: Exception | None = None) -> None:
        """The connection is over, for whatever reason."""
        self.closed = self.ended = True
        if not self.lost:
            self.lost = True
            self.protocol.connection_lost(error)

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """They are the script's."""

    def get_write_buffer_size(self) -> int:
        return int(self.full)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": (self.peer, 1), "sockname": ("127.0.0.1", 80), "socket": _Socket()}.get(name, default)


class World(Core):
    """A core whose connections to instances wait in `asked` until the script answers."""

    def __init__(self, *, logged: bool = False) -> None:
        super().__init__(LIMITS)
        if logged:
            # It is never started: what is told stays where it waits.
            self.access_log = AccessLog(None, sample=1.0, size=1, keep=1, query=True)
        self.loop: Any = Loop()
        self.proxies = Proxies([ip_network("10.0.0.0/8")])
        self.asked: deque[tuple[Pool, Exchange, Handle]] = deque()

    def connect(self, pool: Pool, client: Exchange) -> Any:
        handle = Handle()
        self.asked.append((pool, client, handle))
        return handle

    def visit(self, peer: str) -> tuple[Client, Wire]:
        """A client connects; the wire is the one between it and the ingress."""
        client = self.client()
        wire = Wire(self.loop, client, peer)
        client.connection_made(wire)
        return client, wire

    def upstream(self, pool: Pool) -> Upstream:
        """A connection to an instance."""
        upstream = Upstream(pool)
        upstream.connection_made(Wire(self.loop, upstream))
        return upstream
