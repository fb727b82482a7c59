"""SIGKILL at any instant, and a log whose tail never reached the disk: what was acknowledged is there, what is there
is whole."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from minipaas.registry.journal import INTERRUPTED
from minipaas.registry.registry import Registry
from tests.registry.made import accept, finish, release

ROOT = Path(__file__).parents[2]


def run_and_kill(path: Path, first: int, lines: int) -> dict[str, list[int]]:
    """Run the crasher until it has said so many lines, kill it, and return all that it said."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.registry.crasher", str(path), str(first)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    said: dict[str, list[int]] = {"step": [], "release": [], "done": [], "good": []}
    try:
        heard = [child.stdout.readline() for _ in range(lines)]
    finally:
        os.kill(child.pid, signal.SIGKILL)
    heard += child.stdout.read().splitlines(keepends=True)
    child.stdout.close()
    child.wait()
    for line in heard:
        word, _, number = line.decode().partition(" ")
        if line.endswith(b"\n") and number:
            said[word].append(int(number))
    assert heard[0] == b"open\n"
    return said


def integrity(path: Path) -> str:
    db = sqlite3.connect(path)
    try:
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        return str(db.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        db.close()


async def test_what_was_acknowledged_survives_every_kill(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    chance = random.Random(7)
    first = 1
    for _ in range(6):
        said = run_and_kill(path, first, chance.randint(2, 120))
        assert integrity(path) == "ok"
        registry = Registry.open(path)

        floor = (await registry.floors()).get("shop")
        newest = floor.sequence if floor else 0
        last = max(said["release"], default=first - 1)
        # The one that was under way may be there or not.
        assert last <= newest <= last + 1
        stored = {row.release.sequence: row for row in await registry.releases("shop")}
        assert set(said["release"]) <= set(stored)
        assert all(stored[sequence].confirmed_at is not None for sequence in said["good"])
        if said["good"]:
            [app] = (await registry.desired()).apps
            assert app.good is not None
            assert app.good.sequence >= max(said["good"])

        steps = {row.id: row for row in await registry.recent("shop", 1_000_000)}
        assert set(said["step"][-900:]) <= set(steps)
        assert all(steps[row].ok and steps[row].detail.startswith("pulled") for row in said["done"] if row in steps)
        assert all(row.ended is not None for row in steps.values())
        assert {row.detail for row in steps.values() if row.ok is False} <= {INTERRUPTED}
        for change in await registry.changes("shop", 1_000):
            assert change.target is not None
            await registry.release(change.target)
        await registry.close()
        first = newest + 1


async def test_a_log_that_lost_its_tail_in_a_power_cut_is_a_state_that_once_was(tmp_path: Path) -> None:
    live = tmp_path / "live"
    registry = Registry.open(live / "registry.db")
    for sequence in range(1, 9):
        await finish(registry, await accept(registry, release(sequence)))
    shutil.copytree(live, tmp_path / "cut")
    await registry.close()

    log = (tmp_path / "cut" / "registry.db-wal").read_bytes()
    assert len(log) > 50_000
    chance = random.Random(11)
    seen = set()
    for cut in [chance.randrange(len(log)) for _ in range(30)] + [len(log)]:
        copy = tmp_path / f"cut-{cut}"
        copy.mkdir()
        shutil.copy(tmp_path / "cut" / "registry.db", copy)
        (copy / "registry.db-wal").write_bytes(log[:cut])
        assert integrity(copy / "registry.db") == "ok"
        opened = Registry.open(copy / "registry.db")
        floor = (await opened.floors()).get("shop")
        newest = floor.sequence if floor else 0
        assert [row.release.sequence for row in await opened.releases("shop")] == list(range(newest, 0, -1))
        for app in (await opened.desired()).apps:
            done = (app.good.sequence if app.good else 0, app.change)
            assert done == (newest, None) or (done[0] == newest - 1 and app.change is not None)
        seen.add(newest)
        await opened.close()
    assert 8 in seen
    assert len(seen) > 4


needs_namespaces = pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0
    if shutil.which("unshare")
    else True,
    reason="cannot mount a small disk of its own here",
)


@needs_namespaces
@pytest.mark.parametrize("case", ["full", "start", "ballast", "readonly", "upload"])
def test_a_real_disk_that_is_full_or_read_only(tmp_path: Path, case: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    run = f"exec {sys.executable} -m tests.registry.small_disk {case} {disk}"
    mounted = f"mount -t tmpfs -o size=16m,mode=700 tmpfs {disk} && {run}"
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "held\n"), ended.stderr
