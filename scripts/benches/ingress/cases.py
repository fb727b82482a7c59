"""The cases: what is asked of each proxy, and what ours must reach beside the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benches.ingress.load import Load, Sample
from benches.ingress.peers import OURS, Peer
from benches.ingress.started import memory_mb
from benches.ingress.upstream import LARGE

APP, ECHO = "app0.local", "app1.local"
"""The host with fixed answers, and that of the echo."""
IDLE = 10_000
SHARE = 0.7
"""Of its own top rate, for the latency."""

Figures = dict[str, list[float]]
"""Column -> one value a round."""


@dataclass(frozen=True)
class Target:
    """`must` and `aim` for a column of ours: as a ratio to that of `beside`, or as it is."""

    column: str
    must: float
    aim: float
    beside: str = ""
    most: bool = False
    """Not more than that; else not less."""

    def met(self, value: float, limit: float) -> bool:
        return value <= limit if self.most else value >= limit


@dataclass(frozen=True)
class Round:
    """What a case has at hand. `many`: the same proxies with 200 routes, `few` with one; where the case wants them."""

    load: Load
    seconds: float
    idle: int
    many: Mapping[str, Peer] = field(default_factory=dict)
    few: Mapping[str, Peer] = field(default_factory=dict)


Measure = Callable[[Round, Peer], dict[str, float]]


@dataclass(frozen=True)
class Case:
    """`measure` gives the columns of one round for one proxy."""

    title: str
    measure: Measure
    targets: tuple[Target, ...] = ()
    columns: tuple[str, ...] = ("req/s", "p50 ms", "p99 ms", "CPU s", "busy %", "MB")
    peers: tuple[str, ...] = ()
    """Which proxies; empty: all."""
    rounds: int = 0
    """How many rounds it has at most; 0: as many as asked for."""


def _columns(sample: Sample, peer: Peer) -> dict[str, float]:
    return {
        "req/s": sample.rate,
        "p50 ms": sample.p50,
        "p99 ms": sample.p99,
        "CPU s": sample.cpu,
        "busy %": sample.busy * 100,
        "MB": memory_mb(peer.pid),
    }


def _wrk(path: str, connections: int, *, upload: int = 0, secure: bool = False, close: bool = False) -> Measure:
    def measure(at: Round, peer: Peer) -> dict[str, float]:
        sample = at.load.wrk(
            peer,
            APP,
            path,
            connections=connections,
            seconds=at.seconds,
            upload=upload,
            secure=secure,
            close=close,
        )
        return _columns(sample, peer)

    return measure


def _talk(at: Round, peer: Peer) -> dict[str, float]:
    return _columns(at.load.talk(peer, ECHO, connections=32, seconds=at.seconds), peer)


def _steady(at: Round, peer: Peer) -> dict[str, float]:
    """First its top rate, then a share of it, each request at its time."""
    top = at.load.ask(peer, [APP], "/65", connections=32, seconds=max(1.0, at.seconds / 2))
    sample = at.load.ask(peer, [APP], "/65", connections=32, seconds=at.seconds * 1.5, rate=SHARE * top.rate)
    return {**_columns(sample, peer), "late": sample.late, "owed": sample.owed}


def _idle(at: Round, peer: Peer) -> dict[str, float]:
    before = memory_mb(peer.pid)
    held = at.load.hold(peer, APP, "/65", at.idle)
    try:
        more = memory_mb(peer.pid) - before
    finally:
        held.close()
    return {"MB before": before, "MB more": more, "KB each": more * 1000 / at.idle}


def _routes(at: Round, peer: Peer) -> dict[str, float]:
    """200 connections: all to the one route, then each to a route of its own."""
    hosts = [f"app{number}.local" for number in range(200)]
    few = at.load.ask(at.few[peer.name], hosts[:1], "/65", connections=200, seconds=at.seconds)
    many = at.load.ask(at.many[peer.name], hosts, "/65", connections=200, seconds=at.seconds)
    return {
        "1 route": few.rate,
        "200 routes": many.rate,
        "share": many.rate / few.rate,
        "CPU share": few.cpu / many.cpu,
    }


CASES: dict[str, Case] = {
    "small": Case(
        "65 B, 32 connections",
        _wrk("/65", 32),
        (Target("req/s", 0.6, 0.8, "nginx"), Target("req/s", 2.5, 3.0, "caddy")),
    ),
    "steady": Case(
        "65 B, 32 connections, at 70 % of its own top rate",
        _steady,
        (Target("p99 ms", 2.0, 1.3, "nginx", most=True),),
    ),
    "one": Case("65 B, 1 connection", _wrk("/65", 1)),
    "many": Case("65 B, 512 connections", _wrk("/65", 512)),
    "medium": Case("10 KB, 32 connections", _wrk("/10k", 32)),
    "large": Case("1 MB, 32 connections (as many MB/s)", _wrk("/1m", 32), (Target("req/s", 0.7, 0.9, "nginx"),)),
    "upload": Case("1 MB up, 32 connections (as many MB/s)", _wrk("/upload", 32, upload=LARGE)),
    "tls": Case("65 B over TLS, 32 connections", _wrk("/65", 32, secure=True), (Target("req/s", 0.5, 0.7, "nginx"),)),
    "new": Case("65 B, a new connection for each request, 32 at once", _wrk("/65", 32, close=True)),
    "websocket": Case("WebSocket, 65 B to and fro, 32 connections", _talk),
    "idle": Case(
        f"{IDLE:,} idle connections",
        _idle,
        (Target("MB more", 150, 80, most=True),),
        columns=("MB before", "MB more", "KB each"),
        rounds=1,
    ),
    "routes": Case(
        "65 B, 200 connections, 200 routes against 1",
        _routes,
        (Target("share", 0.95, 1.0),),
        columns=("1 route", "200 routes", "share", "CPU share"),
        peers=(OURS, "nginx"),
    ),
}


def names(case: Case, all_names: Sequence[str]) -> list[str]:
    """The proxies that a case is for."""
    return [name for name in all_names if not case.peers or name in case.peers]
