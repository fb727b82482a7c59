"""What the init system is told, in which order; a stand-in for its tool writes down what was typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.install.places import Places
from minipaas.install.service import Init, Manager, run
from minipaas.install.systemd import Service
from minipaas.model.errors import MinipaasError, Missing

TOOL = """#!/bin/sh
echo "$(basename "$0") $*" >>{log}
[ ! -e {fails} ] || {{ echo 'Job for minipaas.service failed.' >&2; exit 1; }}
"""


class Typed:
    """The tools on PATH, and what was typed into them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._log = directory / "log"
        self.fails = directory / "fails"

    def add(self, name: str) -> None:
        tool = self.directory / name
        tool.write_text(TOOL.format(log=self._log, fails=self.fails))
        tool.chmod(0o755)

    def lines(self) -> list[str]:
        """Since the last time."""
        told = self._log.read_text().splitlines() if self._log.exists() else []
        self._log.unlink(missing_ok=True)
        return told


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    return Typed(directory)


def manager(init: Init, places: Places, **given: object) -> Manager:
    plain: dict[str, object] = {
        "program": places.program,
        "arguments": ("serve",),
        "data": places.data,
        "home": places.home,
        "http": ("0.0.0.0:80",),
        "user": places.user,
    }
    return Manager(init, places, Service(**plain | given))  # type: ignore[arg-type]


def test_systemd(typed: Typed) -> None:
    typed.add("systemctl")
    one = manager(Init.SYSTEMD, Places.system())
    sockets = "minipaas-http.socket minipaas-unix.socket"
    one.enable()
    assert typed.lines() == [
        "systemctl enable --now podman.socket",
        "systemctl daemon-reload",
        f"systemctl enable minipaas.service {sockets}",
    ]
    assert one.active()
    one.stop(["minipaas-http.socket"])
    one.start()
    assert typed.lines() == [
        "systemctl is-active minipaas.service",
        "systemctl stop minipaas-http.socket minipaas.service",
        f"systemctl start {sockets}",
        "systemctl start minipaas.service",
    ]


def test_podman_is_left_alone_where_it_is_ours(typed: Typed) -> None:
    typed.add("systemctl")
    manager(Init.SYSTEMD, Places.system(), own_podman=True).enable()
    assert not any("podman" in line for line in typed.lines())


def test_a_user_s_systemd(typed: Typed, tmp_path: Path) -> None:
    typed.add("systemctl")
    one = manager(Init.SYSTEMD, Places.of_user(tmp_path, {}))
    one.enable()
    one.start()
    one.disable()
    one.forget()
    told = typed.lines()
    assert len(told) == 7
    assert all(line.startswith("systemctl --user ") for line in told)


def test_an_image_is_enabled_and_not_started(typed: Typed, tmp_path: Path) -> None:
    typed.add("systemctl")
    manager(Init.SYSTEMD, Places.system(tmp_path)).enable()
    sockets = "minipaas-http.socket minipaas-unix.socket"
    assert typed.lines() == [f"systemctl --root {tmp_path} enable minipaas.service {sockets}"]


def test_openrc(typed: Typed) -> None:
    for tool in ("rc-update", "rc-service"):
        typed.add(tool)
    one = manager(Init.OPENRC, Places.system())
    one.enable()
    one.start()
    one.stop()
    one.disable()
    assert typed.lines() == [
        "rc-update add minipaas default",
        "rc-service minipaas start",
        "rc-service minipaas stop",
        "rc-update delete minipaas",
    ]


def test_what_fails_is_said_in_its_own_words(typed: Typed) -> None:
    typed.add("systemctl")
    typed.fails.write_text("")
    one = manager(Init.SYSTEMD, Places.system())
    assert not one.active()
    with pytest.raises(MinipaasError, match=r"systemctl start minipaas.service failed: Job for .* failed") as caught:
        one.start()
    assert caught.value.code == "install.command"
    assert typed.lines()[-2].startswith("systemctl start minipaas-http.socket"), (
        "a port that is taken stops nothing else"
    )


def test_a_tool_that_is_not_there(typed: Typed) -> None:
    with pytest.raises(Missing, match="there is no rc-serviced here"):
        run(["rc-serviced", "minipaas", "start"])
    run(["rc-serviced", "minipaas", "start"], needed=False)
