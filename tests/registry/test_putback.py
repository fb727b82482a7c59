"""An older registry comes back: whatever instant the power goes, its name leads to a registry."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from minipaas.model.errors import MinipaasError, Refused
from minipaas.model.release import Floor, Release
from minipaas.registry import putback
from minipaas.registry.failures import safety_copies
from minipaas.registry.registry import Registry
from minipaas.registry.schema import VERSION
from tests.registry.made import WHO, release, serve

ROOTS = (b'{"signed": {"version": 1}}', b'{"signed": {"version": 2}}')


def with_schema(path: Path, number: int) -> None:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {number:d}")
    db.close()


def crashed(live: Path, path: Path, number: int) -> None:
    """A registry as a crash leaves it, with all that it knows in its log."""
    db = sqlite3.connect(live)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA user_version = {number:d}")
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{live}{suffix}", f"{path}{suffix}")
    db.close()


def test_there_is_a_registry_at_every_instant_and_the_newer_one_can_come_again(tmp_path: Path) -> None:
    path, copy = tmp_path / "registry.db", tmp_path / "registry.db.1.copy"
    with_schema(copy, 1)
    crashed(tmp_path / "open.db", path, 2)
    assert copy in safety_copies(path)
    looked: list[bool] = []
    looking = True

    def look(event: str, _: object) -> None:
        if looking and event in ("os.rename", "os.link", "os.remove"):
            looked.append(path.exists())

    sys.addaudithook(look)
    putback.put_back(path, 1)
    assert putback.schema_of(path) == 1
    assert putback.bring_forward(path)
    looking = False
    assert putback.schema_of(path) == 2
    assert looked
    assert all(looked)


async def test_what_protects_the_box_does_not_go_back(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    registry = Registry.open(path)
    await registry.add_roots([(1, ROOTS[0])], "test", "test")
    await serve(registry, release(1, "shop"))
    await serve(registry, release(1, "till"))
    await accept_own(registry, release(10, "minipaas"))
    await registry.close()
    shutil.copyfile(path, tmp_path / f"registry.db.{VERSION}.copy")

    registry = Registry.open(path)
    await registry.add_roots([(2, ROOTS[1])], "test", "test")
    await serve(registry, release(5, "shop", min_sequence=4, issued=1_800_000_000))
    await serve(registry, release(2, "till", epoch=2))
    await serve(registry, release(7, "later", min_sequence=3))
    for sequence in (20, 30):
        await accept_own(registry, release(sequence, "minipaas"))
    await registry.close()

    putback.put_back(path, VERSION)
    back = Registry.open(path)
    assert await back.roots() == ROOTS
    assert await back.floors() == {
        "shop": Floor(epoch=1, sequence=5, min_sequence=4),
        "till": Floor(epoch=2, sequence=2, min_sequence=0),
        "later": Floor(epoch=1, sequence=7, min_sequence=3),  # was not here at all yet
        "minipaas": Floor(epoch=1, sequence=30, min_sequence=0),
    }
    assert await back.time_floor() == 1_800_000_000
    assert {app.app for app in (await back.desired()).apps} == {"shop", "till"}
    for replayed in (release(4, "shop"), release(6, "later")):
        with pytest.raises(Refused, match="not newer than"):
            await serve(back, replayed)
    with pytest.raises(Refused, match="not newer than"):
        await accept_own(back, release(20, "minipaas"))
    await accept_own(back, release(30, "minipaas"))
    for newest in (release(5, "shop", min_sequence=4), release(7, "later", min_sequence=3)):
        await serve(back, newest)
        assert [row.retired for row in await back.releases(newest.app)][:1] == [False], "complete again"
    await back.close()


async def accept_own(registry: Registry, upgrade: Release) -> None:
    """As an upgrade of minipaas itself does it."""
    trusted = len(await registry.roots())
    await registry.accept_own(upgrade, new_roots=[], trusted_root=trusted, **WHO, now=1.0)


def test_a_failure_on_the_way_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with_schema(tmp_path / "registry.db.1.copy", 1)
    crashed(tmp_path / "open.db", path, 2)
    (tmp_path / "registry.db.newer").mkdir()  # nothing can be put aside
    with pytest.raises(MinipaasError, match="cannot put the registry back"):
        putback.put_back(path, 1)
    assert putback.schema_of(path) == 2
    assert not (tmp_path / "registry.db.back").exists()


async def test_a_registry_that_cannot_be_read_does_not_keep_the_older_one_away(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    registry = Registry.open(path)
    await serve(registry, release(1))
    await registry.close()
    shutil.copyfile(path, tmp_path / f"registry.db.{VERSION}.copy")
    path.write_bytes(b"no registry any more")
    putback.put_back(path, VERSION)
    back = Registry.open(path)
    assert [app.app for app in (await back.desired()).apps] == ["shop"]
    await back.close()
