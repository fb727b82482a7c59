"""Telemetry as the rest of minipaas sees it: samples and states in, summaries, series and metrics out.

What always holds: it never raises because of what it is fed or because of its file, and nobody waits for the disk;
what is asked for at a glance (`summary`) is made at most once a sample and once a change of an app's state.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from minipaas.model.metrics import (
    AppPast,
    AppSeries,
    AppSummary,
    HostNow,
    HostSeries,
    InstanceNow,
    Range,
    Seen,
    Summary,
    Window,
)
from minipaas.model.traffic import IngressCounters, RouteCounters
from minipaas.model.usage import Usage
from minipaas.telemetry import limits
from minipaas.telemetry.history import RANK, History
from minipaas.telemetry.host import Host, HostReading
from minipaas.telemetry.latency import quantile
from minipaas.telemetry.limits import TIER_OF, TIERS, Tier
from minipaas.telemetry.meter import Meter, Place, SlotKey, Totals
from minipaas.telemetry.points import AppPoint, Frame, HostPoint, InstancePoint, copied, summed
from minipaas.telemetry.series import KIB, app_past, app_series, cores, host_series, rate
from minipaas.telemetry.sparks import NOTHING, Sparks, row_of, rows_of
from minipaas.telemetry.store import Store


class _Gathering:
    """The step of a tier that is under way."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.time: int | None = None
        self.frame = Frame({})

    def add(self, when: float, frame: Frame) -> tuple[int, Frame] | None:
        """Points at that time; gives the step that they show to be over."""
        begins = int(when) // self.tier.step * self.tier.step
        over = None
        if self.time is not None and begins != self.time:
            over = (self.time, self.frame)
            self.frame = Frame({})
        self.time = begins
        self.frame.add(frame)
        return over


class Telemetry:
    """One a box. All methods are for the event loop; `load` once before the first sample, `close` at the end.
    `clock`: Unix seconds now."""

    def __init__(self, data: Path, clock: Callable[[], float] = time.time) -> None:
        self.host = Host(data)
        self.history = History()
        self._clock = clock
        self._store = Store(data / "metrics.db")
        self._meter = Meter()
        self._sparks = Sparks()
        self._gathering = tuple(_Gathering(tier) for tier in TIERS)
        self._recent: deque[dict[str, AppPoint]] = deque(maxlen=limits.RECENT)
        self._host: tuple[HostReading, HostNow] | None = None
        self._at = 0.0
        self._samples = 0
        self._summary: tuple[tuple[int, int, int], Summary] | None = None
        self._counters: Callable[[], IngressCounters] | None = None
        self._states: dict[str, int] = {}
        """Rank of how each app is now."""
        self._worst: dict[str, int] = {}
        """Rank of the worst since the last sample."""

    async def load(self) -> None:
        """What was kept by the process before: the last hour's sparks, the histories, and the steps under way."""
        now = self._clock()
        self.history.load(await self._store.histories())
        minute = limits.MINUTE
        for begins, frame in await self._store.frames(TIERS[1], now - limits.HOUR, now + 1):
            self._sparks.take(begins // minute, rows_of(frame))
        first = self._gathering[0]
        present = int(now - limits.SAMPLE / 2) // first.tier.step * first.tier.step
        # The coarse before the fine: minutes that become whole here go on into their quarter of an hour.
        for number in (2, 1):
            finer, gathering = TIERS[number - 1], self._gathering[number]
            newest = await self._store.newest(gathering.tier, now)
            since = now - finer.keep if newest is None else max(now - finer.keep, newest + gathering.tier.step)
            for begins, frame in await self._store.frames(finer, since, present if number == 1 else now + 1):
                self._passed_on(gathering, begins, frame)
        for begins, frame in await self._store.frames(first.tier, present, now + 1):
            self._gather(begins, frame)

    async def close(self) -> None:
        """Write what is not written yet."""
        first = self._gathering[0]
        if first.time is not None:
            self._store.add(first.tier, first.time, first.frame)
        self._note_histories()
        await self._store.close(self._clock())

    # -- in

    def count_traffic(self, counters: Callable[[], IngressCounters]) -> None:
        """Where the ingress tells its counts."""
        self._counters = counters

    def traffic(self) -> IngressCounters | None:
        """The ingress's counts at this instant."""
        return self._counters() if self._counters is not None else None

    async def take(
        self,
        usage: Mapping[str, Usage],
        places: Mapping[str, Place],
        killed: Iterable[str],
        host: HostReading | None,
        *,
        tick: float | None = None,
    ) -> None:
        """One sample: what containers have used by container id, where they stand, which of those that ended were
        killed for memory, and the machine. Every `limits.FLUSH_SAMPLES` samples they are written."""
        now = self._clock()
        counters = self.traffic()
        routes: tuple[RouteCounters, ...] = counters.routes if counters is not None else ()
        tick = time.monotonic() if tick is None else tick
        apps = self._meter.take(usage, places, killed, routes, tick=tick, now=now)
        point = self._take_host(host) if host is not None else None
        self._recent.append(apps)
        # a sample stands for the time before it
        self._gather(now - limits.SAMPLE / 2, Frame(self._with_states(copied(apps)), point))
        self._at = now
        self._samples += 1
        if self._samples % limits.FLUSH_SAMPLES == 0:
            self._note_histories()
            await self._store.flush(now)

    def restarted(self, place: Place, when: float) -> None:
        """An instance was started again after a failure."""
        self.history.restarted(place.app, when)
        point = AppPoint(instances=[self._meter.restarted(place)])
        self._gather(self._clock(), Frame({place.app: point}))

    def see(self, states: Mapping[str, Seen]) -> None:
        """How every app of this box is now; others are forgotten."""
        now = self._clock()
        self._states = {app: RANK[state] for app, state in states.items()}
        for app, state in states.items():
            self.history.see(app, state, now)
            self._worst[app] = max(RANK[state], self._worst.get(app, 0))
        if self.history.apps.keys() != states.keys():
            self.history.keep(states)
            self._sparks.keep(states)

    def _with_states(self, apps: dict[str, AppPoint]) -> dict[str, AppPoint]:
        """How each app was since the last sample, beside what it used."""
        for app, rank in self._states.items():
            apps.setdefault(app, AppPoint()).seen = max(rank, self._worst.get(app, 0))
        self._worst.clear()
        return apps

    def _gather(self, when: float, frame: Frame) -> None:
        gathering = self._gathering[0]
        over = gathering.add(when, frame)
        if over is not None:
            self._store.add(gathering.tier, *over)
            self._pass_on(1, *over)

    def _pass_on(self, number: int, begins: int, frame: Frame) -> None:
        """A finished step of one tier is part of a step of the next."""
        if number < len(self._gathering):
            self._passed_on(self._gathering[number], begins, frame)

    def _passed_on(self, gathering: _Gathering, begins: int, frame: Frame) -> None:
        over = gathering.add(begins, Frame(copied(frame.apps), frame.host))
        if over is None:
            return
        self._store.add(gathering.tier, *over)
        if gathering.tier.step == limits.MINUTE:
            self._sparks.take(over[0] // limits.MINUTE, rows_of(over[1]))
        self._pass_on(gathering.tier.number + 1, *over)

    def _take_host(self, reading: HostReading) -> HostPoint:
        before = self._host[0] if self._host is not None else None
        point = HostPoint(
            samples=1,
            memory=reading.memory_used // KIB,
            disk=reading.disk_used // KIB,
            load=round(reading.load[0] * 100),
        )
        if before is not None and reading.tick > before.tick:
            point.covered = round((reading.tick - before.tick) * 1000)
            point.busy = max(0, round((reading.busy - before.busy) * 1000))
            point.idle = max(0, round((reading.idle - before.idle) * 1000))
            point.received = max(0, reading.received - before.received)
            point.sent = max(0, reading.sent - before.sent)
        whole = point.busy + point.idle
        now = HostNow(
            cpu=round(point.busy / whole, 4) if whole else None,
            cores=reading.cores,
            memory_used=reading.memory_used,
            memory_total=reading.memory_total,
            disk_used=reading.disk_used,
            disk_total=reading.disk_total,
            load=reading.load,
            uptime=round(reading.uptime, 1),
            received=rate(point.received, point.covered, 1),
            sent=rate(point.sent, point.covered, 1),
        )
        self._host = (reading, now)
        return point

    def _note_histories(self) -> None:
        for app in self.history.changed:
            self._store.add_history(app, self.history.apps.get(app))
        self.history.changed.clear()

    # -- out

    @property
    def totals(self) -> Mapping[SlotKey, Totals]:
        """What every slot has used since this process began to look."""
        return self._meter.totals

    @property
    def sampled(self) -> float:
        """When the last sample was taken; 0: none was yet."""
        return self._at

    def used(self, container: str) -> Usage | None:
        """What a container had used at the last sample; None: it was not there."""
        return self._meter.used(container)

    def host_now(self) -> HostReading | None:
        """The machine as last read."""
        return self._host[0] if self._host is not None else None

    def summary(self) -> Summary:
        """The box at a glance. The same object until there is something new."""
        now = self._clock()
        key = (self._samples, self.history.version, int(now // limits.STRIP_STEP))
        if self._summary is None or self._summary[0] != key:
            self._summary = (key, self._summarize(now))
        return self._summary[1]

    def _summarize(self, now: float) -> Summary:
        latest = self._recent[-1] if self._recent else {}
        return Summary(
            at=self._at,
            step=limits.MINUTE,
            host=self._host[1] if self._host is not None else None,
            apps=tuple(self._summarize_app(app, latest.get(app), now) for app in sorted(self.history.apps)),
        )

    def _summarize_app(self, app: str, latest: AppPoint | None, now: float) -> AppSummary:
        known = self.history.apps[app]
        cpu, memory, requests, errors = self._sparks.of(app)
        buckets: list[int] = []
        for sample in self._recent:
            for route in sample[app].routes if app in sample else ():
                buckets = summed(buckets, route.buckets)
        _, _, requests_now, errors_now = row_of(latest) if latest is not None else NOTHING
        restarts = self.history.restarts(app, now)
        return AppSummary(
            app=app,
            state=Seen(known.state),
            since=known.since,
            cpu=cpu,
            memory=memory,
            requests=requests,
            errors=errors,
            requests_now=requests_now,
            errors_now=errors_now,
            p50=quantile(buckets, 0.5),
            p99=quantile(buckets, 0.99),
            history=self.history.strip(app, now),
            restarts=restarts.count,
            restart_gap=restarts.gap,
            restarts_since=restarts.since,
            instances=tuple(map(_instance_now, latest.instances)) if latest is not None else (),
        )

    async def app_series(self, app: str, span: Range) -> AppSeries:
        """One app over a time, the step under way included. An app that nothing is known of has empty series."""
        gathering = self._gathering[TIER_OF[span].number]
        start, count = self._steps(gathering.tier)
        points = await self._store.app(app, gathering.tier, start, start + count * gathering.tier.step)
        if gathering.time is not None and app in gathering.frame.apps:
            points |= {gathering.time: copied(gathering.frame.apps)[app]}
        # a month of a large app is some hundred milliseconds of work
        return await asyncio.to_thread(app_series, app, start, gathering.tier.step, count, points)

    async def app_past(self, app: str, window: Window, until: float) -> AppPast:
        """One app over the stretch of time that ends at `until`, up to now; in the finest steps that are still kept of
        it all, and no finer than a picture needs."""
        columns, now = limits.COLUMNS_OF[window], self._clock()
        since = until - columns.step * columns.count
        kept = [tier for tier in TIERS if since >= now - tier.keep - columns.step] or [TIERS[-1]]
        tier = next((tier for tier in reversed(kept) if tier.step <= columns.step), kept[0])
        step = max(tier.step, columns.step)
        start = int(since) // step * step
        end = int(min(until, now) - 1)
        points = await self._store.app(app, tier, start, end + 1)
        gathering = self._gathering[tier.number]
        if gathering.time is not None and start <= gathering.time <= end and app in gathering.frame.apps:
            points |= {gathering.time: copied(gathering.frame.apps)[app]}
        return await asyncio.to_thread(app_past, start, step, points, end)

    async def host_series(self, span: Range) -> HostSeries:
        """The machine over a time."""
        gathering = self._gathering[TIER_OF[span].number]
        start, count = self._steps(gathering.tier)
        points = await self._store.host(gathering.tier, start, start + count * gathering.tier.step)
        if gathering.time is not None and gathering.frame.host is not None:
            points[gathering.time] = gathering.frame.host
        return host_series(start, gathering.tier.step, count, points)

    def _steps(self, tier: Tier) -> tuple[int, int]:
        """The first step to show, and how many; the last one is that of the last sample."""
        last = int((self._at or self._clock()) - limits.SAMPLE / 2) // tier.step * tier.step
        count = tier.keep // tier.step
        return last - (count - 1) * tier.step, count


def _instance_now(point: InstancePoint) -> InstanceNow:
    return InstanceNow(
        service=point.service,
        slot=point.slot,
        cpu=cores(point),
        memory=point.memory * KIB,
        peak=point.peak * KIB,
        received=rate(point.received, point.covered, 1),
        sent=rate(point.sent, point.covered, 1),
        read=rate(point.read, point.covered, 1),
        written=rate(point.written, point.covered, 1),
        pids=point.pids,
    )
