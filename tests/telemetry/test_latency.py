"""Quantiles from buckets."""

from __future__ import annotations

import random

import pytest

from minipaas.ingress.counters import Tally, picture
from minipaas.model.route import Route
from minipaas.model.traffic import BOUNDS
from minipaas.telemetry.latency import quantile


def counted(tally: Tally) -> tuple[int, ...]:
    return picture(Route("shop.local", "/"), "shop", "web", tally).buckets


def test_no_answers_have_no_latency() -> None:
    assert quantile([], 0.5) is None
    assert quantile([0, 0], 0.99) is None


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("typical", [0.0004, 0.003, 0.05, 1.3])
def test_a_quantile_is_good_to_a_half(share: float, typical: float) -> None:
    chance = random.Random(7)
    times = sorted(typical * chance.lognormvariate(0, 0.5) for _ in range(5000))
    tally = Tally()
    for seconds in times:
        tally.answered(200, seconds)
    exact = times[int(share * len(times))] * 1000
    assert quantile(counted(tally), share) == pytest.approx(exact, rel=0.5)


def test_what_is_beyond_the_last_bound_counts_as_that() -> None:
    tally = Tally()
    tally.answered(504, 1e6)
    assert quantile(counted(tally), 0.5) == BOUNDS[-1] * 1000


def test_quantiles_rise() -> None:
    tally = Tally()
    for number in range(100):
        tally.answered(200, number / 100)
    p50, p90, p99 = (quantile(counted(tally), share) for share in (0.5, 0.9, 0.99))
    assert p50 is not None and p90 is not None and p99 is not None
    assert p50 < p90 < p99
