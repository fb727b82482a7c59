"""The scene of a process that lives, read from this host's own /proc."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minipaas.forensics import limits
from minipaas.forensics.alive import Look
from minipaas.forensics.reading import Reading
from minipaas.forensics.sockets import sockets_of
from minipaas.forensics.threads import threads_of
from minipaas.model.capsule import Alive, Process

SLEEPER = """
import socket, sys, threading, time
file = open(sys.argv[1])
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print(server.getsockname()[1], flush=True)
time.sleep(60)
"""


STUCK = """
import sys, threading
lock = threading.Lock()
lock.acquire()
for number in range(int(sys.argv[1])):
    threading.Thread(target=lock.acquire, name=f"worker {number}", daemon=True).start()
print("stuck", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a whole host does not reach, whose processes all are in our namespace; a test sets its own."""
    for name in ("PROCESSES", "SOCKETS"):
        monkeypatch.setattr(limits, name, 100_000)
    for name in ("TABLE", "LOOK_BYTES"):
        monkeypatch.setattr(limits, name, 64 * 1024**2)
    monkeypatch.setattr(limits, "LOOK", 60.0)


@contextmanager
def stuck(threads: int) -> Iterator[int]:
    """A process with so many threads, all stuck on one lock, and a first one that reads."""
    command = [sys.executable, "-c", STUCK, str(threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"stuck\n"
            waits = ("S (sleeping)",) * (threads + 1)
            while tuple(map(state, sorted(Path(f"/proc/{process.pid}/task").iterdir()))) != waits:
                time.sleep(0.01)
            yield process.pid
        finally:
            process.kill()


def look(pid: int) -> Alive:
    return Look(pid).read()


def state(task: Path) -> str:
    return next(line[7:] for line in (task / "status").read_text().splitlines() if line.startswith("State:"))


def seen(scene: Alive, pid: int) -> Process:
    (one,) = [process for process in scene.processes if process.pid == pid]
    return one


@pytest.fixture
def sleeper() -> Iterator[tuple[int, int]]:
    """A process that waits, and the port on which it listens."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER, __file__], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def test_what_it_does_and_holds(sleeper: tuple[int, int]) -> None:
    pid, port = sleeper
    scene = look(pid)
    one = seen(scene, pid)
    assert one.state == "S"
    assert one.threads == 2
    assert one.parent == os.getpid()
    assert one.memory > 1_000_000
    assert "time.sleep(60)" in one.command
    assert any(file.endswith(f" -> {__file__}") for file in one.files)
    found = {(each.local, each.state) for each in scene.sockets}
    assert (f"127.0.0.1:{port}", "LISTEN") in found
    assert (f"127.0.0.1:{port}", "ESTABLISHED") in found


def test_threads_that_wait_for_one_lock_are_seen_together() -> None:
    with stuck(3) as pid:
        one = seen(look(pid), pid)
    assert one.threads == 4
    workers, first = one.stacks
    assert (workers.count, first.count, first.numbers) == (3, 1, (pid,))
    assert pid not in workers.numbers
    assert workers.state == first.state == "S"
    assert workers.call == "futex"
    assert len(workers.on) == 1  # the same lock
    assert workers.on[0].endswith(" x 3")
    assert (first.call, first.on) == ("read", ("0",))
    assert workers.stack[0].startswith("futex") or workers.wait.startswith("futex")


def test_many_threads_stay_within_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "THREADS", 8)
    with stuck(40) as pid:
        scene = look(pid)
        one = seen(scene, pid)
        assert one.threads == 41
        assert sum(group.count for group in one.stacks) == 8
        assert "threads of a process beyond the first 8" in scene.missing

        monkeypatch.setattr(limits, "THREADS", 64)
        whole = Reading()
        assert sum(group.count for group in threads_of(Path(f"/proc/{pid}"), whole)) == 41
        read = limits.LOOK_BYTES - whole.left
        monkeypatch.setattr(limits, "LOOK_BYTES", read // 2)
        half = Reading()
        found = sum(group.count for group in threads_of(Path(f"/proc/{pid}"), half))
        assert 0 < found < 41
        assert half.left > -4 * limits.LOOK_FILE
        assert any(each.startswith("threads: ") for each in half.missing)


def test_a_look_that_takes_too_long_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOOK", 0.0)
    scene = look(os.getpid())
    assert "processes: not read within 0 s" in scene.missing
    assert "tcp sockets: not read within 0 s" in scene.missing


def test_udp_and_unix_sockets(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp6,
        socket.socket(socket.AF_UNIX) as listens,
        socket.socket(socket.AF_UNIX) as client,
    ):
        udp.bind(("127.0.0.1", 0))
        udp6.bind(("::1", 0))
        listens.bind(str(tmp_path / "a b.sock"))
        listens.listen()
        client.connect(str(tmp_path / "a b.sock"))
        inode = os.fstat(client.fileno()).st_ino
        scene = look(os.getpid())
        found = {(one.kind, one.local, one.state) for one in scene.sockets}
        assert ("udp", f"127.0.0.1:{udp.getsockname()[1]}", "UNCONNECTED") in found
        assert ("udp", f"[::1]:{udp6.getsockname()[1]}", "UNCONNECTED") in found
        assert ("unix", str(tmp_path / "a b.sock"), "LISTEN") in found
        assert ("unix", f"socket:[{inode}]", "CONNECTED") in found


def test_unix_sockets_of_others_are_not_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as ours, socket.socket(socket.AF_UNIX) as others:
        ours.bind(str(tmp_path / "ours"))
        others.bind(str(tmp_path / "others"))
        inode = os.fstat(ours.fileno()).st_ino
        found = sockets_of(Path("/proc/self/net"), [f"3 -> socket:[{inode}]"], Reading())
        assert [one.local for one in found if one.kind.startswith("unix")] == [str(tmp_path / "ours")]


def test_names_that_no_person_gives_spoil_nothing(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/socket:[x]\xff"
    with open(odd, "wb") as file, socket.socket(socket.AF_UNIX) as one:  # noqa: PTH123 - no text
        one.bind(f"{tmp_path}/a\nb: 1 2 3")
        scene = look(os.getpid())
        (line,) = [each for each in seen(scene, os.getpid()).files if each.startswith(f"{file.fileno()} -> ")]
        assert line.endswith("/socket:[x]\ufffd")
        assert f"{tmp_path}/a" in {each.local for each in scene.sockets}


def test_sockets_have_a_bound_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each sort its own: many connections hide no others."""
    with (
        socket.create_server(("127.0.0.1", 0)),
        socket.create_server(("127.0.0.1", 0)),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        udp.bind(("127.0.0.1", 0))
        monkeypatch.setattr(limits, "SOCKETS", 1)
        reading = Reading()
        found = sockets_of(Path("/proc/self/net"), (), reading)
        assert [one.kind for one in found] == ["tcp", "udp"]
        assert "tcp sockets beyond the first 1" in reading.missing
        monkeypatch.setattr(limits, "TABLE", 200)
        assert any(one.endswith(" of its network") for one in look(os.getpid()).missing)


def test_ipv6_addresses() -> None:
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


def test_who_cannot_wait_takes_what_there_is() -> None:
    with stuck(3) as pid:
        one = Look(pid)
        assert one.so_far("the rest of it").missing == ("the rest of it",)
        whole = one.read()
        late = one.so_far("the rest of it")
    assert late.processes == whole.processes
    assert seen(late, pid).stacks
    assert late.missing == (*whole.missing, "the rest of it")
