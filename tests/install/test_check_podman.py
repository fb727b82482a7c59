"""Checks of Podman: each thing that can be wrong is said, with what to do."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from minipaas.install import check_podman
from minipaas.install.facts import Runtime, Security
from minipaas.install.findings import Level
from minipaas.install.places import Places
from tests.install.facts import facts, network, podman


def test_all_is_well(tmp_path: Path) -> None:
    told = check_podman.podman(facts(tmp_path))
    assert (told.level, told.says) == (Level.OK, "4.9.3, /run/podman/podman.sock")


def test_one_that_is_too_old(tmp_path: Path) -> None:
    told = check_podman.podman(facts(tmp_path, podman=podman("4.2.1")))
    assert (told.level, told.says) == (Level.BAD, "4.2.1: minipaas needs 4.3 or later")
    assert told.mend.endswith("podman")
    assert check_podman.podman(facts(tmp_path, podman=podman("10.0.0"))).level is Level.OK


def test_one_that_does_not_answer(tmp_path: Path) -> None:
    told = check_podman.podman(facts(tmp_path, podman=None, podman_error="nobody answers on /x", podman_hint="do this"))
    assert (told.level, told.says, told.mend) == (Level.BAD, "nobody answers on /x", "do this")
    told = check_podman.podman(facts(tmp_path, podman=None))
    assert told.mend == "systemctl enable --now podman.socket"
    told = check_podman.podman(facts(tmp_path, podman=None, places=Places.of_user(tmp_path, {})))
    assert told.mend == "systemctl --user enable --now podman.socket"


def test_one_that_answers_others(tmp_path: Path) -> None:
    told = check_podman.podman(facts(tmp_path, guest=True, podman=None))
    assert (told.level, told.mend) == (Level.WARN, "sudo minipaas doctor")


def test_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told = check_podman.podman(facts(tmp_path, podman=None, socket=""))
    assert (told.level, told.says) == (Level.BAD, "there is no podman on this host")


def test_a_runtime_that_is_gone(tmp_path: Path) -> None:
    told = check_podman.runtime(facts(tmp_path, podman=podman(oci_runtime=Runtime("crun-x", "/nonexistent/crun-x"))))
    assert told is not None
    assert (told.level, told.says) == (Level.BAD, "crun-x is not there")


def test_a_user_who_may_not_limit_memory(tmp_path: Path) -> None:
    host = podman(cgroup_controllers=("pids",), security=Security(rootless=True))
    told = check_podman.runtime(facts(tmp_path, podman=host))
    assert told is not None
    if "hybrid" not in told.says:
        assert (told.level, "memory" in told.says, "Delegate=" in told.mend) == (Level.WARN, True, True)


def test_a_user_whom_nothing_limits(tmp_path: Path) -> None:
    host = podman(
        cgroup_version="v1",
        cgroup_controllers=(),
        security=Security(rootless=True),
        oci_runtime=Runtime("runc", "/bin/sh"),
    )
    told = check_podman.runtime(facts(tmp_path, podman=host))
    assert told is not None
    assert (told.level, "no limits" in told.says) == (Level.WARN, True)
    assert "systemd.unified_cgroup_hierarchy=1" in told.mend


def test_the_old_kind_of_network(tmp_path: Path) -> None:
    told = check_podman.network(facts(tmp_path, podman=podman(network_backend="cni")))
    assert told is not None
    assert (told.level, "by name" in told.says) == (Level.BAD, True)
    assert 'network_backend = "netavark"' in told.mend


def lan() -> str:
    """A route of this host."""
    routes = check_podman._routes(set())
    if not routes:
        pytest.fail("this test needs a host with a network")
    return str(routes[0][0])


def test_a_network_that_hides_the_lan(tmp_path: Path) -> None:
    told = check_podman.subnets(facts(tmp_path, networks=(network(lan()),)))
    assert told is not None
    assert told.level is Level.BAD
    assert lan() in told.says
    assert "default_subnet_pools" in told.mend


def test_networks_apart_from_the_lan(tmp_path: Path) -> None:
    told = check_podman.subnets(facts(tmp_path, networks=(network("203.0.113.128/30"), network("2001:db8::/64"))))
    assert told is not None
    assert told.level is Level.OK
    assert told.says.startswith("2 networks, ")
    one = check_podman.subnets(facts(tmp_path, networks=(network("203.0.113.128/30"),)))
    assert one is not None
    assert one.says.startswith("1 network, ")


def test_storage_that_copies_everything(tmp_path: Path) -> None:
    told = check_podman.storage(facts(tmp_path, podman=podman(driver="vfs")))
    assert told is not None
    assert (told.level, "podman system reset" in told.mend) == (Level.WARN, True)
    assert "/etc/containers/storage.conf" in told.mend


def test_storage_of_a_user_that_copies_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = facts(tmp_path, podman=podman(driver="vfs"), places=Places.of_user(tmp_path, {}))
    for kernel, expected in (("5.10.0-30-amd64", "fuse-overlayfs"), ("5.13.0", "~/.config/containers/storage.conf")):
        monkeypatch.setattr(
            os, "uname", lambda kernel=kernel: os.uname_result(("Linux", "edge", kernel, "#1", "x86_64"))
        )
        told = check_podman.storage(mine)
        assert told is not None
        assert (told.level, expected in told.mend) == (Level.WARN, True)


def test_ids(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("ann:100000:65536\n1001:200000:10\nann:300000:1\nbroken\n")
    assert check_podman._range(file, "ann", 1000) == 65537
    assert check_podman._range(file, "bob", 1001) == 10
    assert check_podman._range(tmp_path / "none", "ann", 1000) == 0


def test_a_socket_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "podman.sock"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        path.chmod(0o666)
        told = check_podman.group_of_socket(facts(tmp_path, socket=str(path)))
        assert told is not None
        assert (told.level, told.mend) == (Level.BAD, f"chmod 660 {path}")
        path.chmod(0o600)
        assert check_podman.group_of_socket(facts(tmp_path, socket=str(path))) is None
