"""A registry and a blob store on real files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    opened = Registry.open(tmp_path / "registry.db")
    yield opened
    await opened.close()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "data", ballast=1024 * 1024)
