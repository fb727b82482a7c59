"""Thresholds, played through with a clock of our own."""

from __future__ import annotations

import pytest

from minipaas.engine.health import Tracker
from minipaas.model.observed import HealthState
from minipaas.model.spec import Health
from minipaas.model.units import Duration

S, H, U = HealthState.STARTING, HealthState.HEALTHY, HealthState.UNHEALTHY
HEALTH = Health(http="/", grace=Duration(10), retries=3)

# (second, good?) of each probe, and the state after each.
CASES = [
    ("good at once", [(1, True)], [H]),
    ("failures within the grace count for nothing", [(1, False), (4, False), (7, False), (9.9, False)], [S, S, S, S]),
    ("good at last", [(8, False), (9, False), (11, False), (12, True)], [S, S, S, H]),
    ("never good", [(9, False), (10, False), (11, False), (12, False)], [S, S, S, U]),
    ("a slip", [(1, True), (2, False), (3, False), (4, True)], [H, H, H, H]),
    ("slips do not add up", [(1, True), (2, False), (3, False), (4, True), (5, False), (6, False)], [H] * 6),
    ("goes bad, grace or not", [(1, True), (2, False), (3, False), (4, False)], [H, H, H, U]),
    ("recovers at the first success", [(1, True), (2, False), (3, False), (4, False), (5, True)], [H, H, H, U, H]),
]


@pytest.mark.parametrize(("what", "probes", "states"), CASES, ids=[case[0] for case in CASES])
def test_thresholds(what: str, probes: list[tuple[float, bool]], states: list[HealthState]) -> None:
    tracker = Tracker(HEALTH, begun=0.0)
    before = tracker.state
    for (second, good), expected in zip(probes, states, strict=True):
        changed = tracker.succeed("good") if good else tracker.fail("bad", second)
        assert tracker.state is expected
        assert changed == (expected is not before)
        before = expected
    assert tracker.detail == ("good" if probes[-1][1] else "bad")


def test_probes_come_quickly_until_the_first_success() -> None:
    tracker = Tracker(HEALTH, begun=0.0)
    pauses = [tracker.pause() for _ in range(12)]
    assert sum(pauses[:4]) < 1  # a service that is up within a second is not kept waiting for the interval
    assert pauses == sorted(pauses)
    assert pauses[-1] == HEALTH.interval
    tracker.succeed("good")
    assert tracker.pause() == HEALTH.interval


def test_a_short_interval_is_never_exceeded() -> None:
    tracker = Tracker(Health(http="/", interval=Duration(0.1)), begun=0.0)
    assert max(tracker.pause() for _ in range(10)) == pytest.approx(0.1)
