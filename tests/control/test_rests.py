"""Rests: what fails or repeats itself waits longer and longer, and never for ever."""

from __future__ import annotations

import itertools

from minipaas.control.rests import MAX_REST, Rest


def spent(rest: Rest, rounds: int, *, fails: bool) -> list[float]:
    """When each of so many rounds began, each as early as it may."""
    now, begun = 1000.0, []
    for _ in range(rounds):
        now += rest.left(1, now) + 0.01
        begun.append(now)
        if fails:
            rest.failed(1, now, strike=True)
        else:
            rest.succeeded(1, "the same plan", now)
    return begun


def test_failures_wait_longer_and_longer_up_to_a_minute() -> None:
    gaps = [later - earlier for earlier, later in itertools.pairwise(spent(Rest(), 12, fails=True))]
    assert gaps[:3] == sorted(gaps[:3])
    assert MAX_REST - 1 < gaps[-1] < MAX_REST + 1


def test_a_plan_that_works_and_changes_nothing_is_done_ever_more_rarely() -> None:
    begun = spent(Rest(), 60, fails=False)
    assert begun[20] - begun[0] < 1, "a burst is no loop"
    assert begun[-1] - begun[-2] > MAX_REST - 1


def test_a_plan_that_comes_back_after_a_while_is_new() -> None:
    rest = Rest()
    for hour in range(100):
        rest.succeeded(1, "replace web #1", hour * 3600.0)
        assert not rest.left(1, hour * 3600.0)


def test_a_new_change_does_not_wait_for_the_failures_of_the_old_one() -> None:
    rest = Rest()
    for _ in range(5):
        rest.failed(1, 10.0, strike=True)
    assert rest.left(1, 10.0) > 1
    assert rest.left(2, 10.0) == 0
    assert rest.failed(2, 10.0, strike=True) == 1


def test_changes_that_come_fast_do_not_wait_for_each_other() -> None:
    """Each of a hundred deploys ends with the same steps; it was asked for all the same."""
    rest = Rest()
    for change in range(100):
        rest.succeeded(change, "switch, probe", 10.0 + change)
        assert rest.left(change, 10.0 + change) == 0


def test_a_success_ends_a_row_of_strikes() -> None:
    rest = Rest()
    rest.failed(1, 10.0, strike=True)
    rest.succeeded(1, "x", 10.0)
    assert rest.failed(1, 10.0, strike=True) == 1
