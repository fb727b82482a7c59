"""Metrics for people and programs: how this box and its apps are doing, and how they did.

What always holds: series are oldest first and equally spaced, and None stands for what is not known; times are Unix
seconds, sizes bytes, CPU cores, latencies milliseconds, rates a second.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

Series: TypeAlias = tuple[float | None, ...]


class Range(StrEnum):
    """How far back: 1 h in steps of 10 s, 24 h of 1 min, 30 d of 15 min."""

    HOUR = "1h"
    DAY = "24h"
    MONTH = "30d"


class Window(StrEnum):
    """A stretch of an app's past, as a timeline shows it."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"


class Seen(StrEnum):
    """How an app was, in the words of a strip; the worst last."""

    UNKNOWN = "unknown"
    """Nobody looked: minipaas or Podman was not there."""
    RUNNING = "running"
    CHANGING = "changing"
    """A change is under way, or it is starting."""
    DEGRADED = "degraded"
    FAILED = "failed"
    """It has never served."""
    DOWN = "down"


class HostNow(Struct, frozen=True, kw_only=True):
    """The machine now."""

    cpu: float | None
    """Share of all cores that was busy since the last sample, 0 to 1."""
    cores: int
    memory_used: int
    memory_total: int
    disk_used: int
    """Of the file system of the data directory."""
    disk_total: int
    load: tuple[float, float, float]
    """Over 1, 5 and 15 minutes."""
    uptime: float
    received: float | None
    """Over the real network interfaces."""
    sent: float | None


class InstanceNow(Struct, frozen=True, kw_only=True):
    """What stands in one slot of a service used in the last sample; two containers of one slot are added up."""

    service: str
    slot: int
    cpu: float | None
    memory: int
    peak: int
    received: float | None
    sent: float | None
    read: float | None
    written: float | None
    pids: int


class AppSummary(Struct, frozen=True, kw_only=True):
    """One app at a glance. The four series are of the last hour, one point a minute."""

    app: str
    state: Seen
    since: float
    """When this state began."""
    cpu: Series
    memory: Series
    requests: Series
    errors: Series
    """Answers 5xx."""
    requests_now: float | None
    """In the last sample."""
    errors_now: float | None
    p50: float | None
    """Half of the requests of the last minute were answered within so long."""
    p99: float | None
    history: tuple[Seen, ...]
    """The last 24 h in half hours, each the worst that was seen; the last one is under way."""
    restarts: int
    """Instances that were started again after a failure, in the last hour."""
    restart_gap: float | None
    """The usual time between two of them; None for fewer than three."""
    restarts_since: float | None
    """The first of them."""
    instances: tuple[InstanceNow, ...]


class Summary(Struct, frozen=True, kw_only=True):
    """The box at a glance."""

    at: float
    """Of the last sample; 0 before the first one."""
    step: int
    """Seconds between two points."""
    host: HostNow | None
    apps: tuple[AppSummary, ...]


class HostSeries(Struct, frozen=True, kw_only=True):
    """The machine over a time."""

    start: float
    """Of the first point; a point stands for the `step` seconds that begin there."""
    step: int
    cpu: Series
    """Share of all cores, 0 to 1."""
    memory: Series
    disk: Series
    load: Series
    received: Series
    sent: Series


class InstanceSeries(Struct, frozen=True, kw_only=True):
    """One slot of a service, whatever containers stood in it."""

    service: str
    slot: int
    cpu: Series
    memory: Series
    peak: Series
    received: Series
    sent: Series
    read: Series
    written: Series
    pids: Series
    restarts: Series
    """Starts after a failure, in each step."""
    ooms: Series
    """Kills for memory, in each step."""


class RouteSeries(Struct, frozen=True, kw_only=True):
    """One route."""

    service: str
    route: str
    requests: Series
    answers_2xx: Series
    answers_3xx: Series
    answers_4xx: Series
    answers_5xx: Series
    p50: Series
    """Latencies come from buckets that double in width, so they are good to about a third."""
    p90: Series
    p99: Series


class AppSeries(Struct, frozen=True, kw_only=True):
    """One app over a time."""

    app: str
    start: float
    step: int
    instances: tuple[InstanceSeries, ...]
    routes: tuple[RouteSeries, ...]


class AppPast(Struct, frozen=True, kw_only=True):
    """One app over a stretch of time: how it was, what all its instances used and all its routes answered."""

    start: float
    """Of the first point; a point stands for the `step` seconds that begin there."""
    step: int
    seen: tuple[Seen, ...]
    """The worst in each step. It ends where the present is."""
    cpu: Series
    memory: Series
    requests: Series
    errors: Series
    """Answers 5xx."""
