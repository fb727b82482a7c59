"""An older registry comes back: whatever instant the power goes, its name leads to a registry."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from pathlib import Path

from minipaas.registry import putback
from minipaas.registry.failures import safety_copies


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
