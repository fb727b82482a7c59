"""A bad night of the app shop, written into the data of a box that is not running: it was scaled, ran out of memory
again and again, and somebody looked into it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from minipaas.forensics.access import DIRECTORY
from minipaas.forensics.kept import Kept
from minipaas.model.lease import Ending, Entry, Lease
from minipaas.registry.deaths import Death
from minipaas.registry.registry import Registry

HOUR = 3600.0
BAD = (6.5 * HOUR, 5.8 * HOUR)
"""From when to when it was bad, before now."""
DEATHS = (6.5, 6.45, 6.3, 6.28, 6.1, 6.05, 6.0, 5.95)
"""Hours before now."""


async def make_night(data: Path) -> None:
    """After the apps of the scene were deployed."""
    now = time.time()
    _move_back(data / "registry.db", now)
    registry = Registry.open(data / "registry.db")
    try:
        for number, hours in enumerate(DEATHS, 1):
            at = now - hours * HOUR
            death = Death(
                app="shop",
                service="web",
                container=f"{number:064x}",
                name=f"minipaas-shop-web-1-{number}",
                release="",
                at=at,
                detail="the kernel killed it: it wanted more memory than its limit",
            )
            await registry.record_deaths([death])
            step = await registry.begin_step(None, "shop", "StartInstance", "start web #1, attempt 2", at + 2)
            await registry.end_step(step, True, "", at + 4)
    finally:
        await registry.close()
    kept = Kept(data / DIRECTORY, 1 << 20, 30 * 24 * HOUR)
    for hours, kind, minutes, reason in (
        (5.9, Entry.SHELL, 14, "what eats the memory"),
        (5.5, Entry.COPY, 1, "a heap dump"),
    ):
        began = now - hours * HOUR
        await kept.add(
            Lease(
                id=f"{int(began * 65536):012x}",
                kind=kind,
                app="shop",
                service="web",
                instance="minipaas-shop-web-2-1",
                container="c" * 64,
                actor="ann via socket",
                origin="pid 4711",
                reason=reason,
                what="sh" if kind is Entry.SHELL else "/tmp/heap",
                started=began,
                until=began + HOUR,
                ended=began + minutes * 60,
                ending=Ending.DONE,
            )
        )


def _move_back(path: Path, now: float) -> None:
    """Its first deploy took place the day before; since then it was scaled by hand."""
    with sqlite3.connect(path) as db:
        (first,) = db.execute("SELECT min(id) FROM change WHERE app = 'shop'").fetchone()
        (began,) = db.execute("SELECT started FROM change WHERE id = ?", (first,)).fetchone()
        by = began - (now - 20 * HOUR)
        moved = "started = started - ?1, ended = ended - ?1"
        db.execute(f"UPDATE change SET {moved}, switched = switched - ?1 WHERE id = ?2", (by, first))
        db.execute(f"UPDATE step SET {moved} WHERE change = ?2", (by, first))
        columns = "app, kind, state, target, fallback, actor, started, deadline, switched, ended"
        db.execute(
            f"INSERT INTO change (id, {columns}) SELECT 0, app, 'scale', 'done', target, fallback, 'token ops', ?1, "
            "?1 + 60, ?1 + 8, ?1 + 20 FROM change WHERE id = ?2",
            (now - 9.4 * HOUR, first),
        )
