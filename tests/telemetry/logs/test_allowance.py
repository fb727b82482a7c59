"""A rate, and a burst."""

from __future__ import annotations

from minipaas.telemetry import limits
from minipaas.telemetry.logs.allowance import Allowance


def test_a_burst_and_then_the_rate() -> None:
    one = Allowance(100)
    assert one.left(0.0) == 100 * limits.LOG_BURST
    one.take(100 * limits.LOG_BURST)
    assert one.left(0.0) == 0
    assert one.left(0.5) == 50
    assert one.left(1000.0) == 100 * limits.LOG_BURST, "what was not used does not add up without end"


def test_no_rate_is_no_bound() -> None:
    one = Allowance(0)
    one.take(1 << 40)
    assert one.left(0.0) > 1 << 30
