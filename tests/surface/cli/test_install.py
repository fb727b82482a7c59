"""`minipaas install` and `uninstall`, where they must say no; what they do is in tests/e2e/test_install.py."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.badinput.live import program

NOBODY = 65534


def test_from_the_sources(minipaas: Callable[..., Any]) -> None:
    done = minipaas("install")
    assert (done.code, done.out) == (2, "")
    assert "this minipaas runs from its sources" in done.err
    assert "scripts/build" in done.err


def test_what_is_not_there(minipaas: Callable[..., Any], tmp_path: Path) -> None:
    done = minipaas("uninstall", "--prefix", str(tmp_path))
    assert (done.code, done.out) == (4, "")
    assert f"there is no minipaas in {tmp_path}/opt/minipaas" in done.err


@pytest.mark.parametrize(
    ("args", "destination", "words"),
    [
        (("uninstall", "--user", "--prefix", "/x"), "", "cannot install for a user and elsewhere"),
        (("install", "--trust", __file__, "--no-start"), "", "a trust root is added to a box that runs"),
        (("install", "--trust", __file__), "/tmp/image", "a trust root is added to a box that runs"),
        (("install", "--init", "launchd"), "", "'launchd' is not one of"),
    ],
)
def test_what_does_not_go_together(
    minipaas: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    destination: str,
    words: str,
) -> None:
    monkeypatch.setenv("DESTDIR", destination)
    done = minipaas(*args)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_who_is_not_root() -> None:
    said = program("uninstall", user=NOBODY, group=NOBODY, extra_groups=[], env={"HOME": "/tmp"})
    assert said.code == 3
    assert "this user is not root" in said.err
    assert "minipaas install --user" in said.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is root")
def test_root_alone(minipaas: Callable[..., Any]) -> None:
    done = minipaas("uninstall", "--user")
    assert done.code == 2
    assert "root has the whole host" in done.err
