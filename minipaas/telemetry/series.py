"""From stored points to what is shown: sums become means and rates, equally spaced, None where nothing is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from minipaas.model.metrics import AppPast, AppSeries, HostSeries, InstanceSeries, RouteSeries, Seen, Series
from minipaas.telemetry.latency import quantile
from minipaas.telemetry.points import AppPoint, Count, HostPoint, InstancePoint, RoutePoint

P = TypeVar("P")

KIB = 1024


def rate(count: Count, covered: int, digits: int = 3) -> float | None:
    """`count` over `covered` milliseconds, a second."""
    if count is None or not covered:
        return None
    return round(count * 1000 / covered, digits)


def cores(point: InstancePoint) -> float | None:
    """Cores that were busy for it, on average."""
    return round(point.cpu / point.covered, 5) if point.covered else None


def mean_memory(point: InstancePoint) -> int | None:
    """Bytes."""
    return point.memory * KIB // point.samples if point.samples else None


def app_series(app: str, start: int, step: int, count: int, points: Mapping[int, AppPoint]) -> AppSeries:
    """`count` steps from `start` on."""
    times = range(start, start + step * count, step)
    slots: dict[tuple[str, int], dict[int, InstancePoint]] = {}
    routes: dict[tuple[str, str], dict[int, RoutePoint]] = {}
    covered: dict[int, int] = {}
    for time, point in points.items():
        covered[time] = point.covered
        for instance in point.instances:
            slots.setdefault(instance.key, {})[time] = instance
        for route in point.routes:
            routes.setdefault(route.key, {})[time] = route
    return AppSeries(
        app=app,
        start=float(start),
        step=step,
        instances=tuple(_instance(key, slots[key], times) for key in sorted(slots)),
        routes=tuple(_route(key, routes[key], covered, times) for key in sorted(routes)),
    )


def _each(points: Mapping[int, P], times: range, value: Callable[[P], float | None]) -> Series:
    return tuple(value(point) if (point := points.get(time)) is not None else None for time in times)


def _instance(key: tuple[str, int], points: Mapping[int, InstancePoint], times: range) -> InstanceSeries:
    def each(value: Callable[[InstancePoint], float | None]) -> Series:
        return _each(points, times, value)

    return InstanceSeries(
        service=key[0],
        slot=key[1],
        cpu=each(cores),
        memory=each(mean_memory),
        peak=each(lambda point: point.peak * KIB if point.samples else None),
        received=each(lambda point: rate(point.received, point.covered, 1)),
        sent=each(lambda point: rate(point.sent, point.covered, 1)),
        read=each(lambda point: rate(point.read, point.covered, 1)),
        written=each(lambda point: rate(point.written, point.covered, 1)),
        pids=each(lambda point: point.pids if point.samples else None),
        restarts=each(lambda point: point.restarts),
        ooms=each(lambda point: point.ooms),
    )


def _route(
    key: tuple[str, str], points: Mapping[int, RoutePoint], covered: Mapping[int, int], times: range
) -> RouteSeries:
    def per_second(value: Callable[[RoutePoint], int]) -> Series:
        """Nobody asked is 0, nobody looked is None."""
        return tuple(
            rate(value(points[time]) if time in points else 0, covered[time]) if time in covered else None
            for time in times
        )

    def answers(number: int) -> Series:
        return per_second(lambda point: point.answers[number] if len(point.answers) > number else 0)

    def latency(share: float) -> Series:
        return _each(points, times, lambda point: quantile(point.buckets, share))

    return RouteSeries(
        service=key[0],
        route=key[1],
        requests=per_second(lambda point: point.requests),
        answers_2xx=answers(1),
        answers_3xx=answers(2),
        answers_4xx=answers(3),
        answers_5xx=answers(4),
        p50=latency(0.5),
        p90=latency(0.9),
        p99=latency(0.99),
    )


def app_past(start: int, step: int, points: Mapping[int, AppPoint], now: float) -> AppPast:
    """Steps from `start` to the one in which `now` is. The points may be finer; they are used up."""
    columns: dict[int, AppPoint] = {}
    for time, point in sorted(points.items()):
        at = start + (time - start) // step * step
        if at in columns:
            columns[at].add(point)
        else:
            columns[at] = point
    times = range(start, int(now) + 1, step)
    words = tuple(Seen)

    def whole(value: Callable[[InstancePoint], float | None]) -> Series:
        """Of all instances together."""

        def each(point: AppPoint) -> float | None:
            known = [found for one in point.instances if (found := value(one)) is not None]
            return round(sum(known), 5) if known else None

        return _each(columns, times, each)

    def answered(value: Callable[[RoutePoint], int]) -> Series:
        return _each(columns, times, lambda point: rate(sum(map(value, point.routes)), point.covered))

    return AppPast(
        start=float(start),
        step=step,
        seen=tuple(words[min(columns[time].seen, len(words) - 1)] if time in columns else words[0] for time in times),
        cpu=whole(cores),
        memory=whole(mean_memory),
        requests=answered(lambda route: route.requests),
        errors=answered(lambda route: route.answers[4] if len(route.answers) > 4 else 0),
    )


def host_series(start: int, step: int, count: int, points: Mapping[int, HostPoint]) -> HostSeries:
    """`count` steps from `start` on."""
    times = range(start, start + step * count, step)

    def each(value: Callable[[HostPoint], float | None]) -> Series:
        return _each(points, times, value)

    def mean(total: int, samples: int, scale: float = KIB) -> float | None:
        return round(total * scale / samples, 2) if samples else None

    return HostSeries(
        start=float(start),
        step=step,
        cpu=each(share_busy),
        memory=each(lambda point: mean(point.memory, point.samples)),
        disk=each(lambda point: mean(point.disk, point.samples)),
        load=each(lambda point: mean(point.load, point.samples, 0.01)),
        received=each(lambda point: rate(point.received, point.covered, 1)),
        sent=each(lambda point: rate(point.sent, point.covered, 1)),
    )


def share_busy(point: HostPoint) -> float | None:
    """Share of all cores, 0 to 1."""
    whole = point.busy + point.idle
    return round(point.busy / whole, 4) if whole else None
