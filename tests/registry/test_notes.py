"""Notes on containers: each part kept until it is changed."""

from __future__ import annotations

from pathlib import Path

from minipaas.model.observed import Note
from minipaas.registry.registry import Registry


async def test_a_part_that_is_not_given_stays(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "registry.db")
    await registry.note("c1", boot="boot-1")
    await registry.note("c1", stopped="superseded by 1.2")
    await registry.note("c2", boot="boot-1", stopped="removed")
    await registry.note("c2", stopped="")
    await registry.close()

    registry = Registry.open(tmp_path / "registry.db")
    assert await registry.notes() == {
        "c1": Note(boot="boot-1", stopped="superseded by 1.2"),
        "c2": Note(boot="boot-1", stopped=""),
    }
    await registry.drop_notes(["c1", "gone"])
    assert list(await registry.notes()) == ["c2"]
    await registry.close()
