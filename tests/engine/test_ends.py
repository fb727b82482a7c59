"""Ends of processes, told by the kernel."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minipaas.engine.ends import Ends

PATIENCE = 60


class Listener:
    """Counts how often it was told to look again."""

    def __init__(self) -> None:
        self.told = 0
        self.news = asyncio.Event()

    def __call__(self) -> None:
        self.told += 1
        self.news.set()

    async def next(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.news.wait()
        self.news.clear()


@pytest.fixture
async def listener() -> Listener:
    return Listener()


@pytest.fixture
async def ends(listener: Listener) -> AsyncIterator[Ends]:
    made = Ends(listener)
    yield made
    made.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


async def test_an_end_is_told_and_asked_for_again_until_podman_knows(ends: Ends, listener: Listener) -> None:
    with sleeper() as one, sleeper() as other:
        ends.watch({"one": one.pid, "other": other.pid})
        one.kill()
        await listener.next()
        ends.watch({"one": one.pid, "other": other.pid})  # Podman still says that it runs
        await listener.next()
        ends.watch({"other": other.pid})
        other.kill()
        await listener.next()
    assert listener.told == 3


async def test_who_is_not_watched_any_more_costs_nothing(ends: Ends, listener: Listener) -> None:
    before = descriptors()
    with sleeper() as one:
        for _ in range(3):
            ends.watch({"one": one.pid, "none": 0, "gone": 2**22 - 1})
            ends.watch({})
        assert descriptors() == before
        one.kill()
    await asyncio.sleep(0.05)
    assert listener.told == 0
