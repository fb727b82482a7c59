"""Points: what was used and answered in one step of time, as it is added up and stored.

What always holds: merging two points gives what one point over both times would have been, in any order; None is
unknown and adds nothing. Stored as MessagePack arrays, so fields are only ever added at the end, and a change of what
one means needs a new `store.VERSION`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import TypeVar

from msgspec import Struct

Count = int | None


class InstancePoint(Struct, array_like=True):
    """One slot of a service."""

    service: str
    slot: int
    samples: int = 0
    covered: int = 0
    """Milliseconds that the counters below cover; 0 for a first sample, which has nothing to compare with."""
    cpu: int = 0
    """Milliseconds of CPU time."""
    memory: int = 0
    """KiB, added up over the samples."""
    peak: int = 0
    """KiB, the most."""
    received: Count = None
    sent: Count = None
    read: Count = None
    written: Count = None
    pids: int = 0
    """The most."""
    restarts: int = 0
    ooms: int = 0

    @property
    def key(self) -> tuple[str, int]:
        return self.service, self.slot

    def add(self, other: InstancePoint) -> None:
        """Another step of the same slot."""
        self.samples += other.samples
        self.covered += other.covered
        self.cpu += other.cpu
        self.memory += other.memory
        self.peak = max(self.peak, other.peak)
        self.received = added(self.received, other.received)
        self.sent = added(self.sent, other.sent)
        self.read = added(self.read, other.read)
        self.written = added(self.written, other.written)
        self.pids = max(self.pids, other.pids)
        self.restarts += other.restarts
        self.ooms += other.ooms


class RoutePoint(Struct, array_like=True):
    """One route that was asked."""

    service: str
    route: str
    requests: int = 0
    answers: list[int] = []
    """1xx to 5xx; zeros at the end are left out."""
    buckets: list[int] = []
    """By latency, see `model.traffic.BOUNDS`; zeros at the end are left out."""

    @property
    def key(self) -> tuple[str, str]:
        return self.service, self.route

    def add(self, other: RoutePoint) -> None:
        """Another step of the same route."""
        self.requests += other.requests
        self.answers = summed(self.answers, other.answers)
        self.buckets = summed(self.buckets, other.buckets)


class AppPoint(Struct, array_like=True):
    """One app. Routes without a request are left out."""

    covered: int = 0
    """Milliseconds that the routes' counters cover."""
    instances: list[InstancePoint] = []
    routes: list[RoutePoint] = []
    seen: int = 0
    """How it was, the worst: a rank among `model.metrics.Seen`."""

    def add(self, other: AppPoint) -> None:
        """Another step of the same app."""
        self.covered += other.covered
        self.instances = _joined(self.instances, other.instances)
        self.routes = _joined(self.routes, other.routes)
        self.seen = max(self.seen, other.seen)


class HostPoint(Struct, array_like=True):
    """The machine. Gauges are added up over the samples."""

    samples: int = 0
    covered: int = 0
    busy: int = 0
    """Milliseconds of CPU time, all cores."""
    idle: int = 0
    memory: int = 0
    """KiB"""
    disk: int = 0
    """KiB"""
    load: int = 0
    """Of one minute, in hundredths."""
    received: Count = None
    sent: Count = None

    def add(self, other: HostPoint) -> None:
        """Another step."""
        self.samples += other.samples
        self.covered += other.covered
        self.busy += other.busy
        self.idle += other.idle
        self.memory += other.memory
        self.disk += other.disk
        self.load += other.load
        self.received = added(self.received, other.received)
        self.sent = added(self.sent, other.sent)


class Frame(Struct):
    """All points of one step of time."""

    apps: dict[str, AppPoint]
    host: HostPoint | None = None

    def add(self, other: Frame) -> None:
        """Another step. The other frame must not be used any more."""
        for app, point in other.apps.items():
            mine = self.apps.get(app)
            if mine is None:
                self.apps[app] = point
            else:
                mine.add(point)
        if self.host is None:
            self.host = other.host
        elif other.host is not None:
            self.host.add(other.host)


E = TypeVar("E", InstancePoint, RoutePoint)


def _joined(mine: list[E], others: list[E]) -> list[E]:
    by_key: dict[object, E] = {one.key: one for one in mine}
    for other in others:
        found = by_key.get(other.key)
        if found is None:
            by_key[other.key] = other
        else:
            found.add(other)
    return list(by_key.values())


def added(one: Count, other: Count) -> Count:
    """The sum of what is known."""
    if one is None:
        return other
    return one if other is None else one + other


def summed(one: list[int], other: list[int]) -> list[int]:
    """Element by element."""
    if len(one) < len(other):
        one, other = other, one
    return [a + b for a, b in zip(one, other, strict=False)] + one[len(other) :]


def trimmed(counts: Iterable[int]) -> list[int]:
    """Without the zeros at the end."""
    found = list(counts)
    while found and not found[-1]:
        found.pop()
    return found


def copied(frame: Mapping[str, AppPoint]) -> dict[str, AppPoint]:
    """Points that may be merged without changing these."""
    return {app: _copy(point) for app, point in frame.items()}


def _copy(point: AppPoint) -> AppPoint:
    instances, routes = [copy(one) for one in point.instances], [copy(one) for one in point.routes]
    return AppPoint(point.covered, instances, routes, point.seen)
