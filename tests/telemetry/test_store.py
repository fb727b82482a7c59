"""`metrics.db`: nothing that happens to it is anybody's trouble."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minipaas.telemetry.history import AppHistory
from minipaas.telemetry.limits import TIERS
from minipaas.telemetry.points import AppPoint, Frame, HostPoint, InstancePoint
from minipaas.telemetry.store import Store
from tests.telemetry.made import T0

FINE = TIERS[0]
NOW = int(T0)


def frame(memory: int = 1) -> Frame:
    return Frame({"shop": AppPoint(10_000, [InstancePoint("web", 1, 1, 10_000, 5, memory)])}, HostPoint(1))


async def test_in_and_out(tmp_path: Path) -> None:
    store = Store(tmp_path / "metrics.db")
    store.add(FINE, NOW, frame(7))
    store.add(FINE, NOW + 10, frame(8))
    store.add_history("shop", AppHistory(state="down", strip={1: 5}))
    store.add_history("gone", AppHistory())
    found = await store.app("shop", FINE, NOW, NOW + 20)
    assert {time: point.instances[0].memory for time, point in found.items()} == {NOW: 7, NOW + 10: 8}
    assert (await store.host(FINE, NOW, NOW + 10)).keys() == {NOW}
    assert [time for time, _ in await store.frames(FINE, NOW + 10, NOW + 20)] == [NOW + 10]
    assert await store.newest(FINE, NOW + 5) == NOW
    store.add_history("gone", None)
    assert await store.histories() == {"shop": AppHistory(state="down", strip={1: 5})}
    await store.close(NOW)
    again = Store(tmp_path / "metrics.db")
    assert len(await again.app("shop", FINE, NOW, NOW + 20)) == 2
    await again.close(NOW)


async def test_only_the_box_may_read_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "metrics.db")
    store.add(FINE, NOW, frame())
    await store.flush(NOW)
    assert {oct(entry.stat().st_mode & 0o777) for entry in os.scandir(tmp_path)} == {"0o600"}
    await store.close(NOW)


def nonsense(path: Path) -> None:
    path.write_bytes(b"this is no database " * 500)


def other_version(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE point (x)")
        db.execute("PRAGMA user_version = 99")
    db.close()


def torn(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def strange_points(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE point SET data = x'00'")
    db.close()


@pytest.mark.parametrize("spoil", [nonsense, other_version, torn, strange_points])
async def test_a_damaged_file_is_set_aside(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = tmp_path / "metrics.db"
    store = Store(path)
    for number in range(200):
        store.add(FINE, NOW + 10 * number, frame())
    await store.close(NOW)
    if spoil is other_version:
        path.unlink()
    spoil(path)
    store = Store(path)
    assert await store.app("shop", FINE, NOW, NOW + 2000) == {}
    store.add(FINE, NOW + 5000, frame(9))
    await store.flush(NOW)
    assert len(await store.app("shop", FINE, NOW + 5000, NOW + 5010)) == 1
    assert (tmp_path / "metrics.db.damaged").exists()
    await store.close(NOW)


async def test_a_place_that_cannot_be_written_costs_the_metrics_and_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path / "no" / "such" / "directory" / "metrics.db")
    store.add(FINE, NOW, frame())
    await store.flush(NOW)
    assert await store.app("shop", FINE, NOW, NOW + 10) == {}
    (tmp_path / "no/such/directory").mkdir(parents=True)
    await store.flush(NOW)
    assert len(await store.app("shop", FINE, NOW, NOW + 10)) == 1, "it waited"
    await store.close(NOW)


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    run = f"mount -t tmpfs -o size=1m none {tmp_path} && exec {sys.executable} -m tests.telemetry.full_disk {tmp_path}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", run], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "held\n", f"{done.stderr}\nThis test needs root: it mounts a small disk."


async def test_after_its_end_nothing_is_taken_or_given(tmp_path: Path) -> None:
    store = Store(tmp_path / "metrics.db")
    await store.close(NOW)
    await store.close(NOW)
    store.add(FINE, NOW, frame())
    await store.flush(NOW)
    assert await store.app("shop", FINE, NOW, NOW + 10) == {}
