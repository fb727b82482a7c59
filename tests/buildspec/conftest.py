"""Tests of the built binary that need no Podman."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.built import build

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker builds once for all of them."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.built)
            item.add_marker(pytest.mark.xdist_group("built"))


@pytest.fixture(scope="session")
def dist() -> Path:
    """`program/`, `minipaas` and `minipaas.cdx.json`."""
    return build()
