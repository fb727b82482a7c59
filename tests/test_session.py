"""A user's runtime directory is found, and nobody else's is taken for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minipaas.session import runtime_directory


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """What systemd has made for this user."""
    path = tmp_path / "run/user" / str(os.geteuid())
    path.mkdir(parents=True)
    return path


def test_the_one_that_the_session_names_comes_first(tmp_path: Path, mine: Path) -> None:
    assert runtime_directory({"XDG_RUNTIME_DIR": str(tmp_path)}, mine.parent) == tmp_path


@pytest.mark.parametrize("named", ["", "relative", "/nonexistent/run"])
def test_who_came_without_a_session_still_has_one(mine: Path, named: str) -> None:
    assert runtime_directory({"XDG_RUNTIME_DIR": named}, mine.parent) == mine
    assert runtime_directory({}, mine.parent) == mine


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_somebody_else_s_is_none_of_ours(tmp_path: Path, mine: Path) -> None:
    os.chown(tmp_path / "run", 12345, -1)
    assert runtime_directory({"XDG_RUNTIME_DIR": str(tmp_path / "run")}, mine.parent) == mine
    os.chown(mine, 12345, -1)
    assert runtime_directory({"XDG_RUNTIME_DIR": str(tmp_path / "run")}, mine.parent) is None
