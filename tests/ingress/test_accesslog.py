"""The file: whole lines, bounded, never in anybody's way."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minipaas.ingress import accesslog
from minipaas.ingress.accesslog import AccessLog, Entry

PATIENCE = 30.0


def entry(target: bytes = b"/x?secret=1", status: int = 200, **more: object) -> Entry:
    return Entry(
        began=1_800_000_000.5,
        took=0.0123456,
        client="192.0.2.7",
        peer="192.0.2.7",
        secure=False,
        status=status,
        received=100,
        sent=200,
        fault="",
        method=b"GET",
        target=target,
        **more,  # type: ignore[arg-type]
    )


def opened(path: Path | None, **more: object) -> AccessLog:
    settings: dict[str, object] = {"sample": 1.0, "size": 65536, "keep": 2, "query": False, **more}
    log = AccessLog(path, **settings)  # type: ignore[arg-type]
    log.start()
    return log


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_line_says_what_is_known(tmp_path: Path) -> None:
    log = opened(tmp_path / "logs" / "access.log")
    trace = b"Host: a\r\nTraceParent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n"
    log.add(entry(block=trace, app="shop", service="web", route="shop.local", instance="abc", retries=1, host=b"a"))
    log.add(entry(status=0))
    log.close()
    assert lines(tmp_path / "logs" / "access.log") == [
        {
            "time": "2027-01-15T08:00:00.500Z",
            "client": "192.0.2.7",
            "status": 200,
            "duration_ms": 12.346,
            "bytes_in": 100,
            "bytes_out": 200,
            "tls": False,
            "method": "GET",
            "host": "a",
            "path": "/x",
            "protocol": "HTTP/1.1",
            "app": "shop",
            "service": "web",
            "route": "shop.local",
            "instance": "abc",
            "retries": 1,
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        },
        {
            "time": "2027-01-15T08:00:00.500Z",
            "client": "192.0.2.7",
            "status": None,
            "duration_ms": 12.346,
            "bytes_in": 100,
            "bytes_out": 200,
            "tls": False,
            "method": "GET",
            "path": "/x",
            "protocol": "HTTP/1.1",
        },
    ]
    assert (tmp_path / "logs" / "access.log").stat().st_mode & 0o007 == 0


def test_queries_only_when_asked_for_and_nothing_without_end(tmp_path: Path) -> None:
    log = opened(tmp_path / "a", query=True)
    log.add(entry(b"/" + b"p" * 5000 + b"?" + b"q" * 5000))
    log.close()
    (line,) = lines(tmp_path / "a")
    assert line["path"] == "/" + "p" * (accesslog.PATH - 1) and line["query"] == "q" * accesslog.PATH


def test_faults_are_all_written_and_of_the_rest_a_share() -> None:
    log = AccessLog(None, sample=0.25, size=65536, keep=1, query=False)
    assert all(
        log.wants(status, fault)
        for status, fault in ((500, ""), (0, "client.left"), (404, "route.unknown"), (200, "answer.broken"))
    )
    share = sum(log.wants(200, "") for _ in range(4000)) / 4000
    assert 0.2 < share < 0.3
    assert not any(AccessLog(None, sample=0.0, size=65536, keep=1, query=False).wants(200, "") for _ in range(100))


def test_files_are_bounded_and_lines_stay_whole(tmp_path: Path) -> None:
    log = opened(tmp_path / "access.log")
    for number in range(3000):
        log.add(entry(b"/%d" % number))
        if number % 500 == 0:
            until(lambda: not log._waiting)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [one.name for one in files] == ["access.log", "access.log.1", "access.log.2"]
    assert all(one.stat().st_size <= 65536 for one in files)
    paths = [line["path"] for one in reversed(files) for line in lines(one)]
    assert paths == [f"/{number}" for number in range(3000 - len(paths), 3000)] and len(paths) > 500
    assert log.lost == 0


def test_a_file_that_somebody_else_moves_away_is_begun_anew(tmp_path: Path) -> None:
    log = opened(tmp_path / "access.log")
    log.add(entry(b"/1"))
    until((tmp_path / "access.log").exists)
    until(lambda: bool(lines(tmp_path / "access.log")))
    (tmp_path / "access.log").rename(tmp_path / "mine")
    log.add(entry(b"/2"))
    log.close()
    assert [line["path"] for line in lines(tmp_path / "mine")] == ["/1"]
    assert [line["path"] for line in lines(tmp_path / "access.log")] == ["/2"]


def test_two_processes_may_share_a_file_while_one_follows_the_other(tmp_path: Path) -> None:
    one, two = opened(tmp_path / "access.log"), opened(tmp_path / "access.log")
    for number in range(2000):
        (one, two)[number % 2].add(entry(b"/%d" % number))
        if number % 100 == 0:
            until(lambda: not one._waiting and not two._waiting)
    one.close()
    two.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3 and all(lines(file) for file in files)
    assert all(file.stat().st_size <= 2 * 65536 for file in files)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory with very little room."""
    from ctypes import CDLL, get_errno

    here = tmp_path / "small"
    here.mkdir()
    libc = CDLL(None, use_errno=True)
    assert libc.mount(b"none", bytes(here), b"tmpfs", 0, b"size=64k") == 0, os.strerror(get_errno())
    yield here
    libc.umount2(bytes(here), 2)


def test_a_full_disk_is_said_and_forgotten_when_there_is_room(
    full_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = opened(full_disk / "access.log", size=1 << 20)
    ballast = full_disk / "ballast"
    ballast.write_bytes(b"x" * 40_000)
    for number in range(1000):
        log.add(entry(b"/%d" % number))
    until(lambda: log.lost > 0)
    until(lambda: "(No space left on device)" in caplog.text)
    lost = log.lost
    ballast.unlink()
    log.add(entry(b"/after"))
    log.close()
    found = lines(full_disk / "access.log")
    assert found[-1]["lost"] == lost == log.lost
    assert "/after" in [line.get("path") for line in found]


def test_a_place_that_cannot_be_written_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    log = opened(tmp_path / "file" / "access.log")
    log.add(entry())
    until(lambda: log.lost == 1)
    until(lambda: "so far: 1 (File exists)" in caplog.text)
    log.close()


def test_who_reads_too_slowly_costs_lines_and_not_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    before = os.dup(1)
    os.dup2(writing, 1)
    try:
        log = opened(None)
        for number in range(3 * accesslog.WAITING):
            log.add(entry(b"/%d" % number))
        assert log.lost >= accesslog.WAITING
        heard = bytearray()

        def listen() -> None:
            while piece := os.read(reading, 1 << 20):
                heard.extend(piece)

        listener = threading.Thread(target=listen)
        listener.start()
        until(lambda: not log._waiting)
        log.close()
    finally:
        os.dup2(before, 1)
        os.close(writing)
        os.close(before)
    listener.join(PATIENCE)
    os.close(reading)
    told = [json.loads(line) for line in heard.splitlines()]
    assert sum(line.get("lost", 0) for line in told) == log.lost
    assert len([line for line in told if "path" in line]) == 3 * accesslog.WAITING - log.lost
