"""How often something may be done."""

from __future__ import annotations

from minipaas.certs.allowance import Allowance


def test_so_many_at_once_and_then_one_after_each_pause() -> None:
    now = 100.0
    allowance = Allowance(3, 10.0, lambda: now)
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
    now += 10
    assert [allowance.take() for _ in range(2)] == [True, False]
    now += 5
    assert not allowance.take()
    now += 5
    assert allowance.take()
    now += 1e6
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
