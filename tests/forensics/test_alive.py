"""The scene of a process that lives, read from this host's own /proc."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from minipaas.forensics import limits
from minipaas.forensics.alive import look

SLEEPER = """
import socket, sys, threading, time
file = open(sys.argv[1])
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print(server.getsockname()[1], flush=True)
time.sleep(60)
"""


@pytest.fixture
def sleeper() -> Iterator[tuple[int, int]]:
    """A process that waits, and the port on which it listens."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER, __file__], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def test_what_it_does_and_holds(sleeper: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    pid, port = sleeper
    monkeypatch.setattr(limits, "PROCESSES", 100_000)
    monkeypatch.setattr(limits, "SOCKETS", 100_000)
    scene = look(pid)
    (one,) = [process for process in scene.processes if process.pid == pid]
    assert one.state == "S"
    assert one.threads == 2
    assert one.parent == os.getpid()
    assert one.memory > 1_000_000
    assert "time.sleep(60)" in one.command
    assert any(file.endswith(f" -> {__file__}") for file in one.files)
    found = {(each.local, each.state) for each in scene.sockets}
    assert (f"127.0.0.1:{port}", "LISTEN") in found
    assert (f"127.0.0.1:{port}", "ESTABLISHED") in found


def test_ipv6_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SOCKETS", 100_000)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        scene = look(os.getpid())
        assert f"[::1]:{server.getsockname()[1]}" in {one.local for one in scene.sockets}


def test_one_that_has_ended_says_so() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    scene = look(process.pid)
    assert scene.processes == ()
    assert any(one.startswith("processes: ") for one in scene.missing)


def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROCESSES", 1)
    scene = look(os.getpid())
    assert len(scene.processes) == 1
    assert "processes beyond the first 1" in scene.missing
