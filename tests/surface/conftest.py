"""A small box on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.surface.small import SmallBox, small_box


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[SmallBox]:
    async with small_box(tmp_path) as running:
        yield running
