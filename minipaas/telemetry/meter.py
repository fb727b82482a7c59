"""The meter: from counters that containers and routes start anew at their pleasure to what was used since last time.

What always holds: nothing counts backwards; a counter that is lower than before has started anew; the first sight of a
container that ran before us counts as nothing used, because nobody knows when it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from minipaas.model.traffic import RouteCounters
from minipaas.model.usage import Usage
from minipaas.telemetry.points import AppPoint, InstancePoint, RoutePoint, added, trimmed

YOUNG = 15.0
"""A container that is seen for the first time so soon after its start had used nothing when we last looked."""


class Place(Struct, frozen=True):
    """Where a container stands, and when it was started (Unix seconds)."""

    app: str
    service: str
    slot: int
    started: float | None


SlotKey = tuple[str, str, int]
"""App, service, slot."""


class Totals(Struct):
    """What a slot has used since we began to look; never goes down. Gauges are as last seen."""

    cpu: float = 0.0
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    ooms: int = 0
    restarts: int = 0
    memory: int = 0
    peak: int = 0
    pids: int = 0
    containers: int = 0
    """Alive now."""


class Meter:
    """Fed with counters, one sample after the other."""

    def __init__(self) -> None:
        self._usage: dict[str, tuple[float, Usage]] = {}
        """By container: when (monotonic), and what."""
        self._ooms: dict[str, int] = {}
        """By container: kills that were counted."""
        self._routes: dict[tuple[str, str, str], RouteCounters] = {}
        self._at: float | None = None
        self.totals: dict[SlotKey, Totals] = {}

    def take(
        self,
        usage: Mapping[str, Usage],
        places: Mapping[str, Place],
        killed: Iterable[str],
        routes: Iterable[RouteCounters],
        *,
        tick: float,
        now: float,
    ) -> dict[str, AppPoint]:
        """One sample: what each app has used since the one before. `killed`: ended containers that the kernel killed
        for memory; `tick` is monotonic, `now` Unix seconds."""
        slots: dict[SlotKey, InstancePoint] = {}
        for total in self.totals.values():
            total.memory = total.pids = total.containers = 0
        for container, used in usage.items():
            place = places.get(container)
            if place is not None:
                self._use(container, used, place, self._slot(slots, place), tick, now)
        for container in killed:
            place = places.get(container)
            if place is not None and not self._ooms.get(container):
                self._ooms[container] = 1
                self._slot(slots, place).ooms += 1
                self._total(place).ooms += 1
        self._forget(usage, places)
        apps: dict[str, AppPoint] = {}
        for (app, _, _), point in slots.items():
            apps.setdefault(app, AppPoint()).instances.append(point)
        self._traffic(routes, apps)
        covered = 0 if self._at is None else round((tick - self._at) * 1000)
        for whole in apps.values():
            whole.covered = covered
        self._at = tick
        return apps

    def used(self, container: str) -> Usage | None:
        """What a container had used at the last sample; None: it wasn't there."""
        return self._usage[container][1] if container in self._usage else None

    def restarted(self, place: Place) -> InstancePoint:
        """A start after a failure: counted at once, and given as a point of its own."""
        self._total(place).restarts += 1
        return InstancePoint(place.service, place.slot, restarts=1)

    def _use(self, container: str, used: Usage, place: Place, point: InstancePoint, tick: float, now: float) -> None:
        total = self._total(place)
        total.containers += 1
        total.memory += used.memory
        total.peak = max(total.peak, used.peak or used.memory)
        total.pids += used.pids or 0
        point.samples = 1
        point.memory += used.memory // 1024
        point.peak = max(point.peak, (used.peak or used.memory) // 1024)
        point.pids += used.pids or 0
        when, before = self._usage.get(container) or self._first(place, tick, now, used)
        self._usage[container] = (tick, used)
        if used.cpu < before.cpu:
            before = Usage(cpu=0.0, memory=0, received=0, sent=0, read=0, written=0, ooms=0)
        point.covered = max(point.covered, round((tick - when) * 1000))
        cpu = used.cpu - before.cpu
        point.cpu += round(cpu * 1000)
        total.cpu += cpu
        for name in ("received", "sent", "read", "written"):
            grown = _grown(getattr(used, name), getattr(before, name))
            setattr(point, name, added(getattr(point, name), grown))
            setattr(total, name, getattr(total, name) + (grown or 0))
        ooms = _grown(used.ooms, before.ooms) or 0
        if ooms:
            self._ooms[container] = self._ooms.get(container, 0) + ooms
            point.ooms += ooms
            total.ooms += ooms

    def _first(self, place: Place, tick: float, now: float, used: Usage) -> tuple[float, Usage]:
        """What to compare the first sight of a container with."""
        age = now - place.started if place.started is not None else -1.0
        if self._at is not None and 0 <= age <= YOUNG:
            return tick - max(age, 0.001), Usage(cpu=0.0, memory=0, received=0, sent=0, read=0, written=0, ooms=0)
        return tick, used

    def _traffic(self, routes: Iterable[RouteCounters], apps: dict[str, AppPoint]) -> None:
        seen: dict[tuple[str, str, str], RouteCounters] = {}
        for counters in routes:
            key = (counters.app, counters.service, str(counters.route))
            seen[key] = counters
            before = self._routes.get(key)
            if before is not None and counters.requests < before.requests:
                before = None
            answers, buckets, requests = counters.answers, counters.buckets, counters.requests
            if before is not None:
                requests -= before.requests
                answers = tuple(a - b for a, b in zip(answers, before.answers, strict=True))  # type: ignore[assignment]
                buckets = tuple(a - b for a, b in zip(buckets, before.buckets, strict=True))
            point = apps.setdefault(counters.app, AppPoint())
            if requests or any(answers):
                point.routes.append(RoutePoint(counters.service, key[2], requests, trimmed(answers), trimmed(buckets)))
        self._routes = seen

    def _slot(self, slots: dict[SlotKey, InstancePoint], place: Place) -> InstancePoint:
        key = (place.app, place.service, place.slot)
        point = slots.get(key)
        if point is None:
            point = slots[key] = InstancePoint(place.service, place.slot)
        return point

    def _total(self, place: Place) -> Totals:
        return self.totals.setdefault((place.app, place.service, place.slot), Totals())

    def _forget(self, usage: Mapping[str, Usage], places: Mapping[str, Place]) -> None:
        """Containers that are gone; slots of which no container, dead or alive, is left."""
        self._usage = {key: value for key, value in self._usage.items() if key in usage}
        self._ooms = {key: value for key, value in self._ooms.items() if key in places}
        standing = {(place.app, place.service, place.slot) for place in places.values()}
        for gone in [key for key in self.totals if key not in standing]:
            del self.totals[gone]


def _grown(now: int | None, before: int | None) -> int | None:
    """How much a counter has grown; None when it is not known."""
    if now is None or before is None:
        return None
    return now - before if now >= before else now
