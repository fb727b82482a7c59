"""Checks of the host: each thing that can be wrong is said, with what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from minipaas.install import check_host
from minipaas.install.findings import Level
from minipaas.install.service import Init
from minipaas.model.config import ApiConfig, Config, IngressConfig, LimitsConfig, TlsConfig
from minipaas.model.units import Size
from tests.install.facts import box, facts

REPO = Path(__file__).parents[2]


def config(
    http: tuple[str, ...] = (), api: tuple[str, ...] = (), tls: bool = False, https: tuple[str, ...] = ()
) -> Config:
    return Config(
        api=ApiConfig(listen=api), ingress=IngressConfig(http=http, https=https), tls=TlsConfig() if tls else None
    )


def test_this_host(tmp_path: Path) -> None:
    known = facts(tmp_path)
    for check in (check_host.kernel, check_host.memory, check_host.descriptors, check_host.init_system):
        found = check(known)
        assert found.says
        assert (found.mend == "") == (found.level is Level.OK)


def test_a_clock_that_nobody_keeps_right(tmp_path: Path) -> None:
    assert check_host.clock(facts(tmp_path)).level is Level.OK
    told = check_host.clock(facts(tmp_path, synced=False))
    assert told.level is Level.WARN
    assert "timedatectl" in told.mend


@pytest.mark.parametrize("knows", ["the program", "the box"])
def test_a_clock_that_cannot_be_right(tmp_path: Path, knows: str) -> None:
    later = int(time.time()) + 86400
    known = facts(tmp_path, floor=later) if knows == "the program" else facts(tmp_path, box=box(floor=later))
    told = check_host.clock(known)
    assert (told.level, "cannot be" in told.says) == (Level.BAD, True)


def test_nothing_starts_services(tmp_path: Path) -> None:
    assert check_host.init_system(facts(tmp_path, init=Init.NONE)).level is Level.WARN


def test_a_port_that_another_program_has(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        for told in (
            check_host.page_port(facts(tmp_path, config=config(api=(where,)))),
            check_host.app_port(facts(tmp_path, config=config(http=(where,)))),
            check_host.app_port_with_tls(facts(tmp_path, config=config(https=(where,)))),
        ):
            assert told is not None
            assert told.level is Level.BAD
            assert f"{where} is held by" in told.says
            assert f"(process {os.getpid()})" in told.says
        ours = facts(tmp_path, config=config(http=(where,)), box=box(ingress=(where,)))
        assert check_host.app_port(ours).level is Level.OK, "the box itself has it"
    assert check_host.app_port(facts(tmp_path, config=config(http=(where,)))).level is Level.OK


def test_no_tls_port_without_tls(tmp_path: Path) -> None:
    assert check_host.app_port_with_tls(facts(tmp_path, config=config())) is None


@pytest.mark.parametrize(
    ("mount", "level", "words"),
    [
        ("tmpfs", Level.BAD, "on tmpfs, which is gone after a restart"),
        ("read-only", Level.BAD, "read-only"),
    ],
)
def test_a_disk_that_will_not_do(tmp_path: Path, mount: str, level: Level, words: str) -> None:
    """In a mount of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    make = f"mount -t tmpfs -o size=2g,{'ro' if mount == 'read-only' else 'rw'} none {disk}"
    code = (
        "import sys, msgspec; from pathlib import Path; from tests.install.facts import facts;"
        "from minipaas.install.check_host import on_disk;"
        f"print(msgspec.json.encode(on_disk('disk', Path({str(disk)!r}) / 'not/yet', 256 * 1024**2)).decode())"
    )
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{make} && exec {sys.executable} -c "$0"', code],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPO,
    )
    told = msgspec.json.decode(ran.stdout)
    assert told["level"] == level.value
    assert words in told["says"]
    assert told["mend"]


def test_little_room(tmp_path: Path) -> None:
    wanted = Config(limits=LimitsConfig(reserve=Size(2**60)))
    told = check_host.data_directory(facts(tmp_path, config=wanted))
    assert (told.level, "less than the reserve of" in told.says) == (Level.BAD, True)


def test_a_data_directory_that_others_may_enter(tmp_path: Path) -> None:
    known = facts(tmp_path)
    known.data.mkdir(parents=True)
    known.data.chmod(0o755)
    told = check_host.data_directory(known)
    if told.level is Level.BAD:
        pytest.fail(f"these tests need a disk: {told.says}")
    assert (told.level, told.mend) == (Level.WARN, f"chmod 700 {known.data}")
