from __future__ import annotations

import pytest

from minipaas.ingress.core import Core
from minipaas.ingress.limits import Limits
from minipaas.model.route import Backend, Route, RouteEntry


def entry(text: str, *backends: Backend, app: str = "shop") -> RouteEntry:
    return RouteEntry(Route.parse(text), app, "web", backends)


def core(*entries: RouteEntry) -> Core:
    made = Core(Limits())
    made.swap(entries)
    return made


TABLE = ["shop.local", "shop.local/api", "shop.local/api/v2", "*.local", "*.deep.local/x", "*/any", "other.local/only"]


@pytest.mark.parametrize(
    ("host", "path", "found"),
    [
        ("shop.local", "/", "shop.local"),
        ("shop.local", "/apix", "shop.local"),
        ("shop.local", "/api", "shop.local/api"),
        ("shop.local", "/api/", "shop.local/api"),
        ("shop.local", "/api/v1", "shop.local/api"),
        ("shop.local", "/api/v2/items", "shop.local/api/v2"),
        ("shop.local", "/any", "shop.local"),
        ("blog.local", "/api", "*.local"),
        ("a.b.local", "/", "*.local"),
        ("a.deep.local", "/x/y", "*.deep.local/x"),
        ("a.deep.local", "/y", "*.local"),
        ("local", "/", None),
        ("local", "/any/thing", "*/any"),
        ("elsewhere", "/any", "*/any"),
        ("elsewhere", "/anything", None),
        ("other.local", "/only/this", "other.local/only"),
        ("other.local", "/else", "*.local"),
        ("", "/", None),
    ],
)
def test_the_narrowest_route_answers(host: str, path: str, found: str | None) -> None:
    target = core(*map(entry, TABLE)).table.lookup(host.encode(), path.encode())
    assert (str(target.entry.route) if target else None) == found


def test_a_route_that_two_apps_claim_has_one_owner_whatever_the_order() -> None:
    both = entry("x.local", app="a"), entry("x.local", app="b")
    for entries in (both, both[::-1]):
        target = core(*entries).table.lookup(b"x.local", b"/")
        assert target is not None and target.entry.app == "a"


def test_entries_are_sorted() -> None:
    entries = [entry(text) for text in TABLE]
    assert list(core(*entries[::-1]).table.entries) == sorted(entries)


@pytest.mark.parametrize(
    ("loads", "order"),
    [
        ([0, 0, 0], "012012"),
        ([5, 0, 0], "121212"),
        ([3, 2, 1], "222222"),
        ([1, 1, 1], "012012"),
    ],
)
def test_the_least_busy_answers_and_equals_take_turns(loads: list[int], order: str) -> None:
    backends = [Backend(str(number), "127.0.0.1", 1000 + number) for number in range(len(loads))]
    made = core(entry("*", *backends))
    (target,) = made.table.targets
    for pool, load in zip(target.pools, loads, strict=True):
        pool.in_flight = load
    picked = [target.pick(0.0) for _ in order]
    assert "".join(pool.backend.instance for pool in picked if pool) == order


def test_one_that_refused_is_asked_last_for_a_while() -> None:
    made = core(entry("*", Backend("a", "127.0.0.1", 1), Backend("b", "127.0.0.1", 2)))
    (target,) = made.table.targets
    refused, busy = target.pools
    refused.set_aside(5.0)
    busy.in_flight = 7
    assert target.pick(5.5) is busy
    assert target.pick(5.5, (busy,)) is refused, "rather than nobody"
    assert target.pick(6.5) is refused, "its time is over"
    assert target.pick(6.5) is busy, "one request tries it, not all that come"


def test_all_that_were_set_aside_are_still_asked() -> None:
    made = core(entry("*", Backend("a", "127.0.0.1", 1), Backend("b", "127.0.0.1", 2)))
    (target,) = made.table.targets
    for pool in target.pools:
        pool.set_aside(5.0)
    assert {target.pick(5.0), target.pick(5.0)} == set(target.pools)


def test_counts_survive_a_swap_and_end_with_the_route() -> None:
    made = core(entry("x.local"), entry("y.local"))
    made.table.targets[0].tally.requests = 3
    made.swap([entry("x.local", Backend("new", "127.0.0.1", 1))])
    assert made.table.targets[0].tally.requests == 3
    made.swap([])
    made.swap([entry("x.local")])
    assert made.table.targets[0].tally.requests == 0
