"""The audit log: pages, refusals, bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.registry import audit, limits
from minipaas.registry.audit import Wanted
from minipaas.registry.database import Database
from minipaas.registry.registry import Registry


async def refuse(registry: Registry, number: int) -> None:
    await registry.audit(
        actor="anonymous",
        action="refused",
        subject=f"POST /api/apps/{number}",
        origin="tcp 192.0.2.7",
        result="a token is needed",
        now=float(number),
    )


async def test_refusals_are_paged_newest_first(registry: Registry) -> None:
    for number in range(1, 6):
        await refuse(registry, number)
    first = await registry.audit_log(2)
    assert [row.at for row in first] == [5.0, 4.0]
    assert [row.at for row in await registry.audit_log(10, Wanted(before=first[-1].id))] == [3.0, 2.0, 1.0]
    assert (first[0].actor, first[0].action, first[0].subject, first[0].origin, first[0].result) == (
        "anonymous",
        "refused",
        "POST /api/apps/5",
        "tcp 192.0.2.7",
        "a token is needed",
    )


async def test_what_a_stranger_sends_does_not_swell_a_row(registry: Registry) -> None:
    await registry.audit(actor="a" * 10**6, action="b" * 10**6, subject="s" * 10**6, origin="", result="", now=1.0)
    [row] = await registry.audit_log(9)
    assert max(len(row.actor), len(row.action), len(row.subject)) == limits.NAME_KEPT


async def test_the_log_keeps_the_newest_rows(tmp_path: Path) -> None:
    extra = 25
    database = Database.open(tmp_path / "registry.db")
    row = {"actor": "a", "action": "b", "subject": "c", "origin": "d", "result": "e"}

    def fill(db: object) -> None:
        for number in range(limits.AUDIT_KEPT + extra):
            audit.append(db, at=float(number), **row)  # type: ignore[arg-type]

    await database.write(lambda: database.transact(fill))
    count, oldest = await database.read(lambda db: tuple(db.execute("SELECT count(*), min(at) FROM audit").fetchone()))
    assert (count, oldest) == (limits.AUDIT_KEPT, float(extra))
    await database.close()


ROWS = [
    ("root via socket", "deploy", "shop", "change 1"),
    ("token ci", "deploy", "shop", "refused: bundle.signature: cannot accept the bundle"),
    ("token CI", "token.add", None, "added"),
    ("anonymous", "refused", None, "cannot do that without a token for admin"),
    ("token ci", "remove", "old", "failed: registry: cannot write"),
]
"""(actor, action, app, result), a second apart."""


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), [5, 4, 3, 2, 1]),
        (Wanted(actor="ci"), [5, 3, 2]),
        (Wanted(actor="%"), []),
        (Wanted(action="deploy"), [2, 1]),
        (Wanted(action="token"), [3]),
        (Wanted(action="token.add"), [3]),
        (Wanted(action="dep"), []),
        (Wanted(app="shop"), [2, 1]),
        (Wanted(refused=True), [5, 4, 2]),
        (Wanted(refused=False), [3, 1]),
        (Wanted(since=2.0, until=4.0), [3, 2]),
        (Wanted(actor="token", refused=True, before=5), [2]),
    ],
)
async def test_the_log_is_asked_for_what_is_wanted(registry: Registry, wanted: Wanted, found: list[int]) -> None:
    for number, (actor, action, app, result) in enumerate(ROWS, start=1):
        await registry.audit(
            actor=actor, action=action, subject="it", origin="here", result=result, now=float(number), app=app
        )
    assert [int(row.at) for row in await registry.audit_log(10, wanted)] == found


async def test_the_log_says_what_there_is_to_ask_for(registry: Registry) -> None:
    for number in range(3):
        await refuse(registry, number)
    await registry.audit(actor="a", action="deploy", subject="s", origin="o", result="r", now=1.0)
    assert await registry.audit_actions() == ["deploy", "refused"]
