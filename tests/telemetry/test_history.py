"""How apps were."""

from __future__ import annotations

from minipaas.model.metrics import Seen
from minipaas.telemetry.history import History
from tests.telemetry.made import T0

HALF = 1800.0


def test_each_half_hour_shows_the_worst() -> None:
    history = History()
    for offset, state in ((0, Seen.RUNNING), (10, Seen.DOWN), (20, Seen.RUNNING), (HALF, Seen.RUNNING)):
        history.see("shop", state, T0 + offset)
    strip = history.strip("shop", T0 + HALF)
    assert len(strip) == 48
    assert strip[-2:] == (Seen.DOWN, Seen.RUNNING)
    assert set(strip[:-2]) == {Seen.UNKNOWN}


def test_what_nobody_saw_is_unknown() -> None:
    history = History()
    history.see("shop", Seen.RUNNING, T0)
    history.see("shop", Seen.RUNNING, T0 + 3 * HALF)
    assert history.strip("shop", T0 + 3 * HALF)[-4:] == (Seen.RUNNING, Seen.UNKNOWN, Seen.UNKNOWN, Seen.RUNNING)
    assert history.strip("shop", T0 + 4 * HALF)[-1] == Seen.UNKNOWN
    assert history.strip("other", T0)[-1] == Seen.UNKNOWN


def test_the_present_state_and_since_when() -> None:
    history = History()
    history.see("shop", Seen.RUNNING, T0)
    history.see("shop", Seen.DOWN, T0 + 5)
    history.see("shop", Seen.DOWN, T0 + 9)
    assert (history.apps["shop"].state, history.apps["shop"].since) == ("down", T0 + 5)


def test_restarts_of_the_last_hour_and_their_usual_gap() -> None:
    history = History()
    assert history.restarts("shop", T0).count == 0
    history.restarted("shop", T0 - 7200)
    for number in range(6):
        history.restarted("shop", T0 + 40 * number)
    history.restarted("shop", T0 + 1000)
    found = history.restarts("shop", T0 + 1001)
    assert (found.count, found.gap, found.since) == (7, 40.0, T0)
    history.restarted("blog", T0)
    assert history.restarts("blog", T0).gap is None


def test_what_is_kept_is_bounded() -> None:
    history = History()
    states = list(Seen)
    for number in range(5000):
        history.see("shop", states[number % len(states)], T0 + number * 600)
        history.restarted("shop", T0 + number)
    assert len(history.apps["shop"].strip) <= 48
    assert len(history.apps["shop"].restarts) == 200
    for number in range(500):  # a clock that is set back and back
        history.see("shop", Seen.RUNNING, T0 - number * 86_400)
    assert len(history.apps["shop"].strip) <= 96


def test_apps_that_are_gone_are_forgotten() -> None:
    history = History()
    history.see("shop", Seen.RUNNING, T0)
    history.changed.clear()
    history.keep(["blog"])
    assert (history.apps, history.changed) == ({}, {"shop"})
    assert history.strip("shop", T0)[-1] == Seen.UNKNOWN


def test_what_was_stored_joins_what_was_seen_since_the_start() -> None:
    before = History()
    before.see("shop", Seen.RUNNING, T0)
    before.see("blog", Seen.DOWN, T0)
    before.restarted("shop", T0 + 1)
    now = History()
    now.see("shop", Seen.RUNNING, T0 + 100)
    now.load(before.apps)
    assert now.apps["shop"].since == T0
    assert now.restarts("shop", T0 + 100).count == 1
    assert now.strip("blog", T0)[-1] == Seen.DOWN


def test_nothing_new_is_no_change() -> None:
    history = History()
    history.see("shop", Seen.RUNNING, T0)
    version = history.version
    history.see("shop", Seen.RUNNING, T0 + 1)
    assert history.version == version
