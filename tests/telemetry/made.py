"""Samples by the hand: counters that grow as told, and a clock that stands until it is moved."""

from __future__ import annotations

from pathlib import Path

from minipaas.model.route import Route
from minipaas.model.traffic import BOUNDS, IngressCounters, RouteCounters
from minipaas.model.usage import Usage
from minipaas.telemetry.host import HostReading
from minipaas.telemetry.meter import Place
from minipaas.telemetry.telemetry import Telemetry

MIB = 1024**2
T0 = 1_800_000_000.0
"""On the border of a quarter of an hour."""


def used(cpu: float = 0.0, memory: int = MIB, **more: int | None) -> Usage:
    return Usage(cpu=cpu, memory=memory, **more)  # type: ignore[arg-type]


def place(app: str = "shop", service: str = "web", slot: int = 1, started: float | None = 0.0) -> Place:
    return Place(app, service, slot, started)


def counters(*routes: RouteCounters) -> IngressCounters:
    return IngressCounters(connections=0, accepted=0, turned_away=0, refused=0, unrouted=0, routes=routes, instances={})


def route(app: str = "shop", codes: dict[int, int] | None = None, bucket: int = 4) -> RouteCounters:
    """Every answer took as long as `bucket` says."""
    codes = codes or {}
    total = sum(codes.values())
    buckets = [0] * (len(BOUNDS) + 1)
    buckets[bucket] = total
    return RouteCounters(
        route=Route(f"{app}.local", "/"),
        app=app,
        service="web",
        requests=total,
        in_flight=0,
        retries=0,
        broken=0,
        codes=tuple(sorted(codes.items())),
        buckets=tuple(buckets),
        seconds=0.003 * total,
    )


def reading(tick: float, busy: float = 0.0, idle: float = 0.0, received: int = 0) -> HostReading:
    return HostReading(
        tick=tick,
        busy=busy,
        idle=idle,
        cores=2,
        memory_used=500 * MIB,
        memory_total=1000 * MIB,
        disk_used=10 * MIB,
        disk_total=100 * MIB,
        load=(0.5, 0.4, 0.3),
        uptime=100.0,
        received=received,
        sent=0,
    )


class Simulation:
    """A box in simulated time: each app has one instance that keeps `cores` busy and answers `rate` requests a
    second, one in ten with 500."""

    def __init__(self, data: Path, apps: tuple[str, ...] = ("shop",), *, now: float = T0) -> None:
        self.now = now
        self.data = data
        self.apps = apps
        self.cores = 0.5
        self.rate = 20
        self.memory = 64 * MIB
        self._seconds = 0.0
        self._cpu = 0.0
        self._requests = 0
        self.telemetry = self.open()

    def open(self) -> Telemetry:
        """Another process on the same data; the ingress counts from nothing again."""
        self._requests = 0
        self.telemetry = Telemetry(self.data, lambda: self.now)
        self.telemetry.count_traffic(self._counted)
        return self.telemetry

    def _counted(self) -> IngressCounters:
        codes = {200: self._requests * 9 // 10, 500: self._requests - self._requests * 9 // 10}
        return counters(*(route(app, codes) for app in self.apps))

    async def run(self, seconds: float, step: float = 10.0) -> None:
        """Let the time pass, a sample each `step`."""
        until = self.now + seconds
        while self.now < until:
            self.now += step
            self._seconds += step
            self._cpu += self.cores * step
            self._requests += round(self.rate * step)
            usage = {app: used(self._cpu, self.memory, peak=self.memory, pids=2) for app in self.apps}
            host = reading(self._seconds, busy=self._seconds, idle=self._seconds)
            places = {app: place(app) for app in self.apps}
            await self.telemetry.take(usage, places, [], host, tick=self._seconds)
