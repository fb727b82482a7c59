"""Scripts for hosts without systemd: sound shell, and a supervisor that keeps one box running, also across upgrades."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minipaas.install.initscripts import openrc, supervisor, sysv
from minipaas.install.systemd import Service

PATIENCE = 60.0
BOX = """#!/bin/sh
# a box: holds the lock file as serve does, ends on TERM
echo $$ >{lock}
echo "$@" >>{log}
stop() {{ echo stopped >>{log}; rm {lock}; exit 0; }}
trap stop TERM
while :; do sleep 0.05; done
"""


@pytest.fixture
def service(tmp_path: Path) -> Service:
    data = tmp_path / "da ta"
    data.mkdir()
    program = tmp_path / "mini paas"
    program.write_text(BOX.format(lock=f"'{data}/lock'", log=f"'{tmp_path}/log'"))
    program.chmod(0o755)
    return Service(program=program, arguments=("serve", "--data", str(data)), data=data, home=tmp_path)


@pytest.mark.parametrize("make", [supervisor, sysv, openrc])
def test_the_shell_understands_it(service: Service, make: Callable[[Service], str]) -> None:
    told = subprocess.run(["sh", "-n"], input=make(service), capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.fixture
def supervised(service: Service, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    script = tmp_path / "supervise"
    script.write_text(supervisor(service))
    process = subprocess.Popen(
        ["sh", script], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def until(look: Callable[[], object]) -> object:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def holder(service: Service) -> int:
    try:
        return int((service.data / "lock").read_text())
    except (OSError, ValueError):
        return 0


def alive(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists() and "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text()


def test_a_box_that_ends_is_started_again(service: Service, supervised: subprocess.Popen[bytes]) -> None:
    first = until(lambda: holder(service))
    os.kill(int(str(first)), signal.SIGKILL)
    until(lambda: holder(service) != first and alive(holder(service)))


def test_its_end_is_the_end_of_the_box(service: Service, supervised: subprocess.Popen[bytes], tmp_path: Path) -> None:
    box = int(str(until(lambda: holder(service))))
    supervised.terminate()
    supervised.wait(PATIENCE)
    assert not alive(box)
    assert (tmp_path / "log").read_text().splitlines() == [f"serve --data {service.data}", "stopped"]


def test_after_an_upgrade_it_waits_for_the_successor(
    service: Service, supervised: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """The successor is no child of it, and holds the lock: no second one is started, and stopping stops it."""
    first = int(str(until(lambda: holder(service))))
    successor = subprocess.Popen([service.program, "successor"])
    until(lambda: holder(service) == successor.pid)
    (service.data / "lock").write_text(f"{successor.pid}\n")
    os.kill(first, signal.SIGKILL)
    until(lambda: not alive(first))
    supervised.terminate()
    until(lambda: successor.poll() is not None)
    supervised.wait(PATIENCE)
    assert (tmp_path / "log").read_text().splitlines() == [f"serve --data {service.data}", "successor", "stopped"]
