"""Saving changes: the pointers move with them, what has ended stays ended, history is bounded."""

from __future__ import annotations

import msgspec
import pytest

from minipaas.model.change import ChangeState
from minipaas.model.errors import Conflict, MinipaasError, Missing
from minipaas.registry import limits
from minipaas.registry.registry import KEEP, Registry
from tests.registry.made import WHO, accept, digest, fail, finish, release, serve

replace = msgspec.structs.replace


async def test_a_change_and_the_pointers_move_together(registry: Registry) -> None:
    first = await serve(registry, release(1))
    change = await accept(registry, release(2))
    hooked = replace(change, hooks_done=("web", "worker"))
    await registry.save_change(hooked)
    switched = replace(hooked, state=ChangeState.CONFIRMING, switched=120.0)
    await registry.save_change(switched, serving=change.target)

    [app] = (await registry.desired()).apps
    assert (app.change, app.serving, app.good) == (switched, release(2), release(1))

    reverting = replace(switched, state=ChangeState.REVERTING, reason="web #1: exit code 1\nout of memory")
    await registry.save_change(reverting, serving=KEEP, good=KEEP)
    ended = replace(reverting, state=ChangeState.ROLLED_BACK, ended=150.0)
    await registry.save_change(ended, serving=first.target)
    [app] = (await registry.desired()).apps
    assert (app.change, app.serving, app.good) == (None, release(1), release(1))
    assert await registry.change(change.id) == ended
    rows = {
        row.release.sequence: (row.outcome, row.confirmed_at, row.serving) for row in await registry.releases("shop")
    }
    assert rows == {1: ("done", first.ended, True), 2: ("rolled_back", None, False)}


async def test_a_first_release_that_fails_leaves_nothing_serving(registry: Registry) -> None:
    change = await accept(registry, release(1))
    await registry.save_change(replace(change, state=ChangeState.CONFIRMING, switched=1.0), serving=change.target)
    await registry.save_change(replace(change, state=ChangeState.FAILED, switched=1.0, ended=2.0), serving=None)
    [app] = (await registry.desired()).apps
    assert (app.app, app.serving, app.good, app.change) == ("shop", None, None, None)


async def test_who_holds_a_superseded_change_has_to_look_again(registry: Registry) -> None:
    stale = await accept(registry, release(1))
    new = await accept(registry, release(2))
    with pytest.raises(Conflict) as caught:
        await finish(registry, stale)
    assert caught.value.code == "change.ended"
    [app] = (await registry.desired()).apps
    assert (app.change, app.serving, app.good) == (new, None, None)


async def test_saving_an_end_again_is_no_conflict(registry: Registry) -> None:
    done = await serve(registry, release(1))
    await finish(registry, done, at=done.ended or 0.0)
    assert await registry.change(done.id) == done


async def test_a_pointer_to_a_release_that_is_not_here_moves_nothing(registry: Registry) -> None:
    change = await accept(registry, release(1))
    with pytest.raises(MinipaasError):
        await registry.save_change(replace(change, state=ChangeState.CONFIRMING), serving=digest("nowhere"))
    assert await registry.change(change.id) == change


async def test_an_app_is_not_forgotten_while_its_change_goes_on(registry: Registry) -> None:
    await serve(registry, release(1))
    change = await registry.remove("shop", purge=False, **WHO, now=1.0)
    with pytest.raises(ValueError, match="goes on"):
        await registry.save_change(change, forget_app=True)
    assert len((await registry.desired()).apps) == 1


async def test_changes_are_listed_newest_first(registry: Registry) -> None:
    for sequence in (1, 2):
        await serve(registry, release(sequence))
        await serve(registry, release(sequence, "other"))
    assert [change.id for change in await registry.changes(None, 3)] == [4, 3, 2]
    assert [change.id for change in await registry.changes("other", 9)] == [4, 2]
    assert await registry.changes("ghost", 9) == []
    with pytest.raises(Missing):
        await registry.change(99)


async def test_a_long_reason_keeps_its_end(registry: Registry) -> None:
    change = await accept(registry, release(1))
    log = "x" * 10 * limits.TEXT_KEPT + "the last line"
    await registry.save_change(replace(change, state=ChangeState.FAILED, ended=1.0, reason=log))
    stored = (await registry.change(change.id)).reason
    assert len(stored) == limits.TEXT_KEPT
    assert stored.endswith("the last line")


async def test_old_changes_leave_with_their_journal_and_their_ids_are_not_used_again(registry: Registry) -> None:
    first = await accept(registry, release(1))
    row = await registry.begin_step(first.id, "shop", "PullImage", "pull", 1.0)
    await registry.end_step(row, True, "", 2.0)
    await fail(registry, first)
    for _ in range(limits.CHANGES_KEPT):
        await fail(registry, await accept(registry, release(1)))
    last = await accept(registry, release(1))

    kept = await registry.changes("shop", 10 * limits.CHANGES_KEPT)
    assert len(kept) == limits.CHANGES_KEPT + 1
    assert first.id not in {change.id for change in kept}
    assert last.id == limits.CHANGES_KEPT + 2
    assert await registry.recent("shop", 9) == []
