"""Several at once, until one ends."""

from __future__ import annotations

import asyncio

import pytest

from minipaas.forensics.race import first


async def test_the_first_ends_all() -> None:
    ended = []

    async def work(name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            ended.append(name)

    assert await first(slow=work("slow", 60), quick=work("quick", 0.01)) == "quick"
    assert sorted(ended) == ["quick", "slow"]


async def test_what_it_raises_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await first(slow=asyncio.sleep(60, None), bad=fail())
