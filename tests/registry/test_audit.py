"""The audit log: pages, refusals, bounds."""

from __future__ import annotations

from pathlib import Path

from minipaas.registry import audit, limits
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
    assert [row.at for row in await registry.audit_log(10, before=first[-1].id)] == [3.0, 2.0, 1.0]
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
