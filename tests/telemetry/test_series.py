"""From stored points to what is shown."""

from __future__ import annotations

from minipaas.telemetry.points import AppPoint, HostPoint, InstancePoint, RoutePoint
from minipaas.telemetry.series import app_series, host_series


def test_sums_become_means_and_rates() -> None:
    web = InstancePoint("web", 1, 6, 60_000, 30_000, 6 * 1024, 2048, 600, None, 0, 0, 7, 1, 2)
    asked = RoutePoint("web", "shop.local", 120, [0, 90, 0, 12, 18], [0, 0, 0, 0, 120])
    found = app_series("shop", 0, 60, 2, {60: AppPoint(60_000, [web], [asked])})
    (one,) = found.instances
    assert (one.cpu, one.memory, one.peak) == ((None, 0.5), (None, 1024**2), (None, 2 * 1024**2))
    assert (one.received, one.sent, one.read) == ((None, 10.0), (None, None), (None, 0.0))
    assert (one.pids, one.restarts, one.ooms) == ((None, 7), (None, 1), (None, 2))
    (route,) = found.routes
    assert (route.requests, route.answers_2xx, route.answers_5xx) == ((None, 2.0), (None, 1.5), (None, 0.3))
    p50 = route.p50[1]
    assert p50 is not None and 2.0 <= p50 <= 4.0


def test_nobody_asked_is_nothing_and_nobody_looked_is_unknown() -> None:
    asked = RoutePoint("web", "shop.local", 10, [0, 10], [10])
    points = {0: AppPoint(10_000, [], [asked]), 10: AppPoint(10_000)}
    (route,) = app_series("shop", 0, 10, 3, points).routes
    assert route.requests == (1.0, 0.0, None)
    assert route.p99[1:] == (None, None)


def test_slots_and_routes_in_order() -> None:
    point = AppPoint(1, [InstancePoint("web", 2), InstancePoint("db", 1), InstancePoint("web", 1)])
    found = app_series("shop", 0, 10, 1, {0: point})
    assert [(one.service, one.slot) for one in found.instances] == [("db", 1), ("web", 1), ("web", 2)]


def test_the_machine() -> None:
    point = HostPoint(2, 20_000, 5000, 15_000, 2048, 4096, 150, 4000, None)
    found = host_series(0, 10, 1, {0: point})
    assert (found.cpu, found.memory, found.disk, found.load) == ((0.25,), (1024**2,), (2 * 1024**2,), (0.75,))
    assert (found.received, found.sent) == ((200.0,), (None,))
