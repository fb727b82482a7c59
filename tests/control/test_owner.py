"""Whose something is that a killed process has left."""

from __future__ import annotations

import os
import subprocess
import sys

from minipaas.control.owner import gone, this_process

SAY = "from minipaas.control.owner import this_process; print(this_process(), flush=True); input()"


def test_this_process_is_there() -> None:
    assert not gone(this_process())
    assert f"-{os.getpid()}-" in this_process()


def test_another_one_is_there_until_it_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", SAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        owner = other.stdout.readline().decode().strip()
        assert owner != this_process()
        assert not gone(owner)
        other.kill()
    assert gone(owner)


def test_who_cannot_be_seen_is_left_alone_until_the_next_boot() -> None:
    boot, namespace, pid, started = this_process().split("-")
    assert not gone(f"{boot}-{int(namespace) + 1}-999999-1")
    assert gone(f"ffffffff-{namespace}-{pid}-{started}")
    assert gone(f"{boot}-{namespace}-{pid}-{int(started) + 1}"), "the number has gone to another process"
    assert gone("") and gone("latest") and gone("../x")
