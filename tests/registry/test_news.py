"""Who waits for news hears of every commit that matters, and of no other."""

from __future__ import annotations

import asyncio
from pathlib import Path

from minipaas.registry.registry import Registry
from tests.registry.made import WHO, accept, fail, finish, release, serve

LONG = 3600.0


async def test_a_waiter_is_woken_by_a_commit(registry: Registry) -> None:
    before = registry.version
    waiters = [asyncio.create_task(registry.newer(before, LONG), name=f"waiter {n}") for n in range(3)]
    await asyncio.sleep(0)
    await accept(registry, release(1))
    async with asyncio.timeout(30):
        assert await asyncio.gather(*waiters) == [before + 1] * 3


async def test_who_is_behind_does_not_wait(registry: Registry) -> None:
    old = registry.version
    await accept(registry, release(1))
    assert await registry.newer(old, LONG) == registry.version


async def test_without_news_the_wait_ends(registry: Registry) -> None:
    assert await registry.newer(registry.version, 0.01) == registry.version
    assert await registry.newer(registry.version, 0.0) == registry.version


async def test_what_a_reader_could_notice_is_news_and_nothing_else(registry: Registry) -> None:
    async def news(action: object) -> bool:
        before = registry.version
        await action  # type: ignore[misc]
        return registry.version > before

    assert await news(accept(registry, release(1)))
    change = await registry.change(1)
    assert await news(registry.begin_step(1, "shop", "K", "t", 1.0))
    assert await news(registry.end_step(1, True, "", 2.0))
    assert await news(finish(registry, change))
    assert await news(serve(registry, release(2)))
    assert await news(registry.retire("shop", []))
    assert await news(registry.add_roots([(1, b"{}")], "a", "o"))
    assert not await news(registry.note("c", boot="b"))
    assert not await news(registry.drop_notes(["c"]))
    assert not await news(registry.audit(**WHO, action="refused", subject="s", result="r", now=1.0))
    assert not await news(registry.desired())


async def test_versions_never_repeat_over_a_restart(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "registry.db")
    box = registry.box_id
    await accept(registry, release(1))
    last = registry.version
    await registry.close()
    registry = Registry.open(tmp_path / "registry.db")
    assert registry.version >= last
    assert registry.box_id == box
    await accept(registry, release(2))
    assert registry.version > last
    await registry.close()


async def test_desired_is_read_once_and_again_after_each_change(registry: Registry) -> None:
    await serve(registry, release(1))
    first = await registry.desired()
    await registry.begin_step(None, "shop", "K", "t", 1.0)
    assert await registry.desired() is first
    change = await accept(registry, release(2))
    second = await registry.desired()
    assert second.apps[0].change == change
    await fail(registry, change)
    assert (await registry.desired()).apps[0].change is None


async def test_readers_never_see_a_desired_older_than_what_was_acknowledged(registry: Registry) -> None:
    async def look() -> None:
        for _ in range(200):
            await registry.desired()

    async def write() -> None:
        for sequence in range(1, 60):
            change = await accept(registry, release(sequence))
            assert (await registry.desired()).apps[0].change == change

    await asyncio.gather(look(), write(), look())


async def test_a_caller_that_gives_up_leaves_a_whole_write_and_a_working_registry(registry: Registry) -> None:
    for sequence in range(1, 30):
        task = asyncio.create_task(accept(registry, release(sequence)), name="upload")
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await serve(registry, release(30))
    [app] = (await registry.desired()).apps
    assert (app.serving, app.change) == (release(30), None)
    accepted = {row.release.sequence for row in await registry.releases("shop")}
    assert {int(row.result.split()[1]) for row in await registry.audit_log(100)} == {
        change.id for change in await registry.changes("shop", 100)
    }
    assert 30 in accepted
