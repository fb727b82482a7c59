"""Several at once, until one ends."""

from __future__ import annotations

import asyncio

import pytest

from minipaas.race import race


async def test_the_first_ends_all() -> None:
    ended = []

    async def work(name: str, seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
            return f"done: {name}"
        finally:
            ended.append(name)

    assert await race(slow=work("slow", 60), quick=work("quick", 0.01)) == ("quick", "done: quick")
    assert sorted(ended) == ["quick", "slow"]


async def test_what_it_raises_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await race(slow=asyncio.sleep(60, None), bad=fail())
