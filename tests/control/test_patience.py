"""Deadlines when the clock is set: measured time counts, for changes and for the dead."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from minipaas.control.patience import FRESH, Patience
from minipaas.model.change import AppDesired, Change, ChangeKind, ChangeState, Desired
from minipaas.model.observed import Instance, InstanceState
from minipaas.plan.lifecycle import REVERT_PATIENCE

YEAR = 365 * 86400.0
JUMPS = [0.0, 50 * YEAR, -50 * YEAR, 3600.0, -3600.0]


def change(now: float, patience: float = 600.0) -> Change:
    return Change(
        id=7,
        app="shop",
        kind=ChangeKind.DEPLOY,
        state=ChangeState.ROLLING,
        target="t",
        fallback=None,
        actor="test",
        started=now,
        deadline=now + patience,
    )


def left(patience: Patience, one: Change, now: float, tick: float) -> float:
    """Seconds that the plan believes to be left."""
    desired = Desired(apps=(AppDesired(app="shop", serving=None, good=None, change=one),))
    told = patience.of(desired, now, tick).apps[0].change
    assert told is not None
    return told.deadline - now


@pytest.mark.parametrize("jump", JUMPS)
def test_a_jump_of_the_clock_neither_ends_nor_prolongs_a_change(jump: float) -> None:
    patience, now = Patience(), 1e9
    one = change(now)
    assert left(patience, one, now, 50.0) == pytest.approx(600)
    assert left(patience, one, now + 100 + jump, 150.0) == pytest.approx(500)
    assert left(patience, one, now + 700 + jump, 750.0) == pytest.approx(-100)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_change_found_at_the_start_has_some_time_left_and_never_more_than_it_had(jump: float) -> None:
    now = 1e9
    assert FRESH <= left(Patience(), change(now), now + jump, 5.0) <= 600
    assert left(Patience(), change(now, patience=5.0), now + jump, 5.0) == pytest.approx(5)


def test_a_revert_that_a_power_cut_interrupts_is_not_given_up_at_once() -> None:
    one = replace(change(1e9), state=ChangeState.REVERTING, deadline=1e9 + REVERT_PATIENCE)
    assert FRESH <= left(Patience(), one, 1e9 + 86400, 5.0) <= REVERT_PATIENCE


def test_the_way_back_has_a_time_of_its_own() -> None:
    patience = Patience()
    left(patience, change(1e9), 1e9, 0.0)
    back = replace(change(1e9), state=ChangeState.REVERTING, deadline=1e9 + 590 + REVERT_PATIENCE)
    assert left(patience, back, 1e9 + 590, 590.0) == pytest.approx(REVERT_PATIENCE)


@pytest.mark.parametrize("jump", JUMPS)
def test_the_watch_after_the_switch_lasts_as_long_as_it_should(jump: float) -> None:
    patience = Patience()
    one = replace(change(1e9), state=ChangeState.CONFIRMING, switched=1e9 + 5)
    desired = Desired(apps=(AppDesired(app="shop", serving=None, good=None, change=one),))
    for tick in (0.0, 2.0, 4.0):
        now = 1e9 + 5 + jump + tick
        told = patience.of(desired, now, tick).apps[0].change
        assert told is not None
        assert told.switched is not None
        assert now - told.switched == pytest.approx(tick)


def test_nobody_has_died_in_the_future() -> None:
    patience, now = Patience(), 1e9
    dead = Instance(
        id="i",
        name="n",
        app="shop",
        service="web",
        release="r",
        fingerprint="f",
        slot=1,
        generation=1,
        attempt=3,
        state=InstanceState.EXITED,
        finished=now + YEAR,
    )
    assert patience.deaths([dead], now, 10.0)[0].finished == pytest.approx(now)
    assert patience.deaths([dead], now + 8, 18.0)[0].finished == pytest.approx(now)
    past = replace(dead, finished=now - 5)
    assert patience.deaths([past], now, 20.0) == (past,)


def test_nothing_is_remembered_of_what_has_ended() -> None:
    patience = Patience()
    left(patience, change(1e9), 1e9, 0.0)
    assert patience.of(Desired(), 1e9, 0.0) == Desired()
    assert left(patience, change(1e9), 1e9 + 500, 500.0) == pytest.approx(100), "seen afresh"
