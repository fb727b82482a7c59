"""The journal: one row for each step, written before the step and closed after it.

It is a record and never a queue. A row that has no end when the registry is opened belonged to a minipaas that was
killed; it is closed as interrupted, and control looks at the world instead of resuming it.
"""

from __future__ import annotations

from sqlite3 import Connection

from msgspec import Struct

from minipaas.registry.limits import STEPS_KEPT, UPKEEP_KEPT, clip, clip_end

INTERRUPTED = "interrupted: minipaas stopped"


class JournalRow(Struct, frozen=True, kw_only=True):
    """One step as it was done. Times are Unix seconds; `ended` and `ok` are None while it runs."""

    id: int
    change: int | None
    """None: upkeep, outside any change."""
    app: str
    kind: str
    """Name of the step's type in `model.steps`."""
    title: str
    started: float
    ended: float | None
    ok: bool | None
    detail: str


def begin(db: Connection, change: int | None, app: str, kind: str, title: str, now: float) -> int:
    """Write that a step begins; returns the row's id."""
    cursor = db.execute(
        "INSERT INTO step (change, app, kind, title, started) VALUES (?, ?, ?, ?, ?)",
        (change, app, kind, clip(title), now),
    )
    if change is None:
        db.execute(
            "DELETE FROM step WHERE change IS NULL AND app = ? AND ended IS NOT NULL AND id <= "
            "(SELECT id FROM step WHERE change IS NULL AND app = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (app, app, UPKEEP_KEPT),
        )
    else:
        db.execute(
            "DELETE FROM step WHERE change = ? AND ended IS NOT NULL AND id <= "
            "(SELECT id FROM step WHERE change = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (change, change, STEPS_KEPT),
        )
    return cursor.lastrowid or 0


def end(db: Connection, row: int, ok: bool, detail: str, now: float) -> None:
    """Write how a step ended. A row that is ended already, or gone with its change, stays as it is."""
    db.execute(
        "UPDATE step SET ended = ?, ok = ?, detail = ? WHERE id = ? AND ended IS NULL", (now, ok, clip_end(detail), row)
    )


def close_interrupted(db: Connection, now: float) -> int:
    """Close the rows that a killed minipaas left open; returns how many there were."""
    cursor = db.execute(
        "UPDATE step SET ended = max(started, ?), ok = 0, detail = ? WHERE ended IS NULL", (now, INTERRUPTED)
    )
    return cursor.rowcount


def of_change(db: Connection, change: int, after: int) -> list[JournalRow]:
    """The steps of a change, oldest first, those after row `after`."""
    return [
        row_of(row) for row in db.execute("SELECT * FROM step WHERE change = ? AND id > ? ORDER BY id", (change, after))
    ]


def recent(db: Connection, app: str, limit: int) -> list[JournalRow]:
    """The newest steps of an app, in a change or not, newest first."""
    return [
        row_of(row) for row in db.execute("SELECT * FROM step WHERE app = ? ORDER BY id DESC LIMIT ?", (app, limit))
    ]


def row_of(row: dict[str, object]) -> JournalRow:
    """A row of the table."""
    values = dict(row)
    values["ok"] = None if values["ok"] is None else bool(values["ok"])
    return JournalRow(**values)  # type: ignore[arg-type]
