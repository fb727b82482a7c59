"""From counters to what was used."""

from __future__ import annotations

from minipaas.model.usage import Usage
from minipaas.telemetry.meter import Meter, Place
from minipaas.telemetry.points import AppPoint
from tests.telemetry.made import MIB, place, route, used

NOW = 1000.0


def take(
    meter: Meter,
    usage: dict[str, Usage],
    tick: float,
    places: dict[str, Place] | None = None,
    killed: tuple[str, ...] = (),
) -> AppPoint:
    places = places if places is not None else {key: place() for key in usage}
    return meter.take(usage, places, killed, (), tick=tick, now=NOW + tick).get("shop", AppPoint())


def test_the_first_sight_counts_as_nothing_used() -> None:
    meter = Meter()
    (web,) = take(meter, {"a": used(100.0, 3 * MIB, received=5000)}, 0.0).instances
    assert (web.covered, web.cpu, web.received, web.memory) == (0, 0, 0, 3 * 1024)
    (web,) = take(meter, {"a": used(105.0, 3 * MIB, received=6000)}, 10.0).instances
    assert (web.covered, web.cpu, web.received) == (10_000, 5000, 1000)


def test_a_container_that_is_young_has_used_all_of_it_since_the_last_sample() -> None:
    meter = Meter()
    take(meter, {"a": used(1.0)}, 0.0)
    places = {"b": place(started=NOW + 6.0)}
    (web,) = take(meter, {"b": used(2.0)}, 10.0, places).instances
    assert (web.covered, web.cpu) == (4000, 2000)


def test_a_container_that_was_started_anew_counts_from_its_start() -> None:
    meter = Meter()
    take(meter, {"a": used(100.0, received=900)}, 0.0)
    (web,) = take(meter, {"a": used(2.0, received=100)}, 10.0).instances
    assert (web.cpu, web.received) == (2000, 100)


def test_two_containers_in_one_slot_are_added_up() -> None:
    meter = Meter()
    take(meter, {"old": used(0.0), "new": used(0.0)}, 0.0)
    (web,) = take(meter, {"old": used(1.0, pids=2), "new": used(3.0, pids=1)}, 10.0).instances
    assert (web.cpu, web.memory, web.pids, web.samples) == (4000, 2 * 1024, 3, 1)


def test_what_is_not_known_stays_unknown() -> None:
    meter = Meter()
    take(meter, {"a": used(0.0)}, 0.0)
    (web,) = take(meter, {"a": used(0.0)}, 10.0).instances
    assert (web.received, web.read) == (None, None)


def test_a_kill_for_memory_counts_once() -> None:
    """Seen in the cgroup while it lived, and told again at its end."""
    meter = Meter()
    take(meter, {"a": used(0.0, ooms=0)}, 0.0)
    assert take(meter, {"a": used(0.0, ooms=1)}, 10.0).instances[0].ooms == 1
    places = {"a": place(), "b": place(slot=2)}
    point = take(meter, {"b": used(0.0)}, 20.0, places, killed=("a",))
    assert sum(one.ooms for one in point.instances) == 0
    point = take(meter, {"b": used(0.0)}, 30.0, places, killed=("a", "b"))
    assert {one.slot: one.ooms for one in point.instances} == {2: 1}
    assert (meter.totals["shop", "web", 1].ooms, meter.totals["shop", "web", 2].ooms) == (1, 1)


def test_totals_never_go_down_while_containers_come_and_go() -> None:
    meter = Meter()
    seen: list[float] = []
    for number in range(20):
        places = {f"c{number}": place(started=NOW + number * 10 - 5)}
        take(meter, {f"c{number}": used(1.0, received=10)}, number * 10.0, places)
        seen.append(meter.totals["shop", "web", 1].cpu)
    assert seen == sorted(seen)
    assert seen[-1] == 19.0
    assert meter.totals["shop", "web", 1].containers == 1


def test_a_slot_that_is_gone_is_forgotten() -> None:
    meter = Meter()
    take(meter, {"a": used(1.0)}, 0.0)
    take(meter, {}, 10.0, {})
    assert meter.totals == {}


def test_a_restart_counts() -> None:
    meter = Meter()
    point = meter.restarted(place())
    assert (point.key, point.restarts) == (("web", 1), 1)
    assert meter.totals["shop", "web", 1].restarts == 1


def test_routes_that_were_not_asked_are_left_out() -> None:
    meter = Meter()
    first = meter.take({}, {}, [], [route(codes={200: 5, 502: 1}, bucket=3)], tick=0.0, now=NOW)
    assert (first["shop"].covered, first["shop"].routes[0].requests) == (0, 6)
    second = meter.take({}, {}, [], [route(codes={200: 5, 502: 1}, bucket=3)], tick=10.0, now=NOW)
    assert (second["shop"].covered, second["shop"].routes) == (10_000, [])
    third = meter.take({}, {}, [], [route(codes={200: 9, 502: 2}, bucket=3)], tick=20.0, now=NOW)
    (asked,) = third["shop"].routes
    assert (asked.requests, asked.answers, asked.buckets) == (5, [0, 4, 0, 0, 1], [0, 0, 0, 5])


def test_a_route_that_was_set_anew_counts_from_there() -> None:
    meter = Meter()
    meter.take({}, {}, [], [route(codes={200: 50})], tick=0.0, now=NOW)
    again = meter.take({}, {}, [], [route(codes={200: 2})], tick=10.0, now=NOW)
    assert again["shop"].routes[0].requests == 2
