"""The journal: written before and after each step, closed after a kill, bounded."""

from __future__ import annotations

from pathlib import Path

from minipaas.registry import limits
from minipaas.registry.journal import INTERRUPTED, JournalRow
from minipaas.registry.registry import Registry
from tests.registry.made import accept, release


async def test_a_step_is_there_while_it_runs_and_after(registry: Registry) -> None:
    change = await accept(registry, release(1))
    row = await registry.begin_step(change.id, "shop", "StartInstance", "start web #1", 10.0)
    running = JournalRow(
        id=row,
        change=change.id,
        app="shop",
        kind="StartInstance",
        title="start web #1",
        started=10.0,
        ended=None,
        ok=None,
        detail="",
    )
    assert await registry.journal(change.id) == [running]
    await registry.end_step(row, False, "no such image", 12.0)
    [ended] = await registry.journal(change.id)
    assert (ended.ended, ended.ok, ended.detail) == (12.0, False, "no such image")


async def test_a_step_ends_once(registry: Registry) -> None:
    row = await registry.begin_step(None, "shop", "SetRoutes", "route", 1.0)
    await registry.end_step(row, True, "", 2.0)
    await registry.end_step(row, False, "too late", 3.0)
    [ended] = await registry.recent("shop", 9)
    assert (ended.ok, ended.ended, ended.detail) == (True, 2.0, "")


async def test_the_steps_of_a_change_are_read_from_where_one_was(registry: Registry) -> None:
    change = await accept(registry, release(1))
    rows = [await registry.begin_step(change.id, "shop", "K", f"step {n}", 1.0) for n in range(4)]
    await registry.begin_step(None, "shop", "K", "upkeep", 1.0)
    await registry.begin_step(None, "other", "K", "not ours", 1.0)
    assert [row.id for row in await registry.journal(change.id)] == rows
    assert [row.id for row in await registry.journal(change.id, after=rows[1])] == rows[2:]
    assert [row.title for row in await registry.recent("shop", 2)] == ["upkeep", "step 3"]


async def test_steps_of_a_minipaas_that_was_killed_are_closed_as_interrupted(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "registry.db")
    change = await accept(registry, release(1))
    done = await registry.begin_step(change.id, "shop", "K", "done", 10.0)
    await registry.end_step(done, True, "fine", 11.0)
    await registry.begin_step(change.id, "shop", "K", "open", 20.0)
    await registry.close()

    # The clock may have been set back meanwhile: a step never ends before it begins.
    registry = Registry.open(tmp_path / "registry.db", now=15.0)
    rows = await registry.journal(change.id)
    assert [(row.title, row.ended, row.ok, row.detail) for row in rows] == [
        ("done", 11.0, True, "fine"),
        ("open", 20.0, False, INTERRUPTED),
    ]
    await registry.close()


async def test_upkeep_that_never_ends_does_not_grow_for_ever(registry: Registry) -> None:
    change = await accept(registry, release(1))
    kept = await registry.begin_step(change.id, "shop", "K", "of a change", 0.0)
    for number in range(limits.UPKEEP_KEPT + 50):
        row = await registry.begin_step(None, "shop", "K", f"restart {number}", 1.0)
        await registry.end_step(row, True, "", 1.0)
    await registry.begin_step(None, "other", "K", "another app", 1.0)

    rows = await registry.recent("shop", 10 * limits.UPKEEP_KEPT)
    upkeep = [row for row in rows if row.change is None]
    assert len(upkeep) == limits.UPKEEP_KEPT
    assert upkeep[0].title == f"restart {limits.UPKEEP_KEPT + 49}"
    assert [row.id for row in await registry.journal(change.id)] == [kept]


async def test_a_long_detail_keeps_its_end_and_a_long_title_its_beginning(registry: Registry) -> None:
    row = await registry.begin_step(None, "shop", "K", "title " * 1000, 1.0)
    await registry.end_step(row, False, "y" * 10 * limits.TEXT_KEPT + "exit code 1", 2.0)
    [stored] = await registry.recent("shop", 1)
    assert stored.detail.endswith("exit code 1")
    assert stored.title.startswith("title title")
    assert len(stored.detail) == limits.TEXT_KEPT
    assert len(stored.title) == limits.NAME_KEPT
