"""Boxes for the tests of the page: every room is real, only the containers are made up (tests/boxes.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.boxes import RunningBox, running_box
from tests.browser.fixtures import chromium, visit
from tests.browser.night import BAD, make_night
from tests.browser.scene import make_past, make_scene, settled
from tests.fakepodman.server import FakePodman

__all__ = ["chromium", "visit"]
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One browser serves them all, so they share a worker and an event loop."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.chromium)
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session")
async def box(tmp_path: Path) -> AsyncIterator[RunningBox]:
    """A fresh box that trusts the test's author."""
    with FakePodman(tmp_path) as fake:
        async with running_box(fake, tmp_path) as one:
            await one.trust()
            yield one


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningBox]:
    """The box of `scene.py`, for tests that only look."""
    directory = tmp_path_factory.mktemp("scene")
    with FakePodman(directory) as fake:
        async with running_box(fake, directory) as first:
            await make_scene(first)
        await make_past(directory / "data", BAD)  # it goes with apps that the box knows
        await make_night(directory / "data")
        async with running_box(fake, directory) as one:
            await settled(one)
            yield one
