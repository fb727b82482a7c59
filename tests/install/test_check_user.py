"""Checks of what a user needs who has a box: each thing that root has not given is said, with what root types."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from minipaas.install import check_user, limits
from minipaas.install.facts import Facts
from minipaas.install.findings import Finding, Level
from minipaas.install.places import Places
from minipaas.install.service import Init
from tests.install.facts import facts, podman


@pytest.fixture
def mine(tmp_path: Path) -> Places:
    return Places.of_user(tmp_path, {})


def test_linger(tmp_path: Path, mine: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_user, "LINGER", tmp_path / "linger")
    told = check_user.linger(facts(tmp_path, places=mine))
    assert told is not None
    assert (told.level, told.mend) == (Level.BAD, f"as root: loginctl enable-linger {check_user.me()}")
    (tmp_path / "linger").mkdir()
    (tmp_path / "linger" / check_user.me()).write_text("")
    told = check_user.linger(facts(tmp_path, places=mine))
    assert told is not None
    assert told.level is Level.OK


@pytest.mark.parametrize("check", [check_user.linger, check_user.user_services])
def test_not_without_systemd_and_not_of_root(
    tmp_path: Path, mine: Places, check: Callable[[Facts], Finding | None]
) -> None:
    assert check(facts(tmp_path, places=mine, init=Init.NONE)) is None
    assert check(facts(tmp_path)) is None, "root does not log out"


def test_a_session_without_a_systemd(tmp_path: Path, mine: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(check_user, "LINGER", tmp_path / "linger")
    told = check_user.user_services(facts(tmp_path, places=mine))
    assert told is not None
    assert (told.level, "or log in as" in told.mend) == (Level.BAD, True)
    (tmp_path / "linger").mkdir()
    (tmp_path / "linger" / check_user.me()).write_text("")
    monkeypatch.setattr(limits, "USER_SERVICES", 0.0)
    told = check_user.user_services(facts(tmp_path, places=mine))
    assert told is not None
    assert (told.level, f"systemctl restart user@{os.getuid()}" in told.mend) == (Level.BAD, True)


def test_a_systemd_that_linger_has_just_started(tmp_path: Path, mine: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(check_user, "LINGER", tmp_path)
    (tmp_path / check_user.me()).write_text("")
    (tmp_path / "systemd").mkdir()
    with socket.socket(socket.AF_UNIX) as one:
        begins = threading.Timer(0.5, lambda: one.bind(str(tmp_path / "systemd/private")))
        begins.start()
        told = check_user.user_services(facts(tmp_path, places=mine))
        begins.join()
    assert told is not None
    assert (told.level, str(tmp_path) in told.says) == (Level.OK, True)


def test_a_user_without_a_way_to_the_network(tmp_path: Path, mine: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = facts(tmp_path, places=mine, podman=podman("4.3.1"))
    assert check_user.user_network(facts(tmp_path)) is None, "root has the host's"
    monkeypatch.setenv("PATH", str(tmp_path))
    for tool in ("", "pasta"):  # Podman 4 knows slirp4netns alone
        if tool:
            (tmp_path / tool).write_text("")
            (tmp_path / tool).chmod(0o755)
        told = check_user.user_network(alone)
        assert told is not None
        assert (told.level, "there is no slirp4netns" in told.says) == (Level.BAD, True)
