"""What a wrong token costs: nothing for a slip, more for each after it, and nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from minipaas.model.errors import Refused
from minipaas.surface.limits import Limits
from minipaas.surface.wrong_tries import WrongTries

LIMITS = Limits(wrong_free=2, wrong_first=1.0, wrong_longest=5.0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_after_a_slip_costs_twice_as_much_up_to_an_end_and_a_minute_later_nothing() -> None:
    clock = Clock()
    tries = WrongTries(LIMITS, clock)
    assert [tries._cost() for _ in range(6)] == [0, 0, 1, 2, 4, 5]
    assert [tries._cost() for _ in range(100)][-1] == 5
    clock.now = 60.0
    assert tries._cost() == 0


async def test_who_gives_up_waiting_leaves_its_place() -> None:
    tries = WrongTries(Limits(wrong_free=0, wrong_first=600, wrong_longest=600, wrong_waiting=1))
    for _ in range(3):
        waiting = asyncio.get_running_loop().create_task(tries.one_more(), name="a guess")
        await asyncio.sleep(0)
        with pytest.raises(Refused) as caught:
            await tries.one_more()
        assert caught.value.code == "page.slow_down"
        waiting.cancel()
        await asyncio.wait([waiting])
