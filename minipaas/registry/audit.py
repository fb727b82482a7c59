"""The audit log: who did or tried what, when, from where, with what result. Rows are only appended; the oldest leave
when there are more than `limits.AUDIT_KEPT`. A mutation's row is written in the mutation's own transaction."""

from __future__ import annotations

from sqlite3 import Connection

from msgspec import Struct

from minipaas.registry.limits import AUDIT_KEPT, clip


class AuditRow(Struct, frozen=True, kw_only=True):
    """One line of the audit log. `at` is Unix seconds."""

    id: int
    at: float
    actor: str
    """`root via socket`, `token ci`, `signature <key id>`."""
    action: str
    """`deploy`, `rollback`, `remove`, `trust.add`, `token.add`, …"""
    subject: str
    """What it was done to."""
    origin: str
    """Where the request came from: an address, a pid, a file."""
    result: str
    """What came of it: `change 12`, or the rule that refused it."""
    app: str | None = None
    """The app that it was about, where that is known."""


def append(
    db: Connection,
    *,
    at: float,
    actor: str,
    action: str,
    subject: str,
    origin: str,
    result: str,
    app: str | None = None,
) -> None:
    """Add a row, and let the oldest go."""
    cursor = db.execute(
        "INSERT INTO audit (at, actor, action, subject, origin, result, app) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (at, clip(actor), clip(action), clip(subject), clip(origin), clip(result), app),
    )
    db.execute("DELETE FROM audit WHERE id <= ?", ((cursor.lastrowid or 0) - AUDIT_KEPT,))


class Wanted(Struct, frozen=True, kw_only=True):
    """Which rows. None: any."""

    actor: str | None = None
    """A part of it, in any case."""
    action: str | None = None
    """All of it, or what stands before its dot: `token` finds `token.add`."""
    app: str | None = None
    refused: bool | None = None
    """True: what was refused or failed. False: what was done."""
    since: float | None = None
    """Unix seconds, included."""
    until: float | None = None
    """Unix seconds, not included."""
    before: int | None = None
    """Only rows with a lower id."""

    @property
    def conditions(self) -> list[tuple[str, tuple[object, ...]]]:
        """SQL, with the values that go into it."""
        asked: list[tuple[str, tuple[object, ...]]] = []
        if self.before is not None:
            asked.append(("id < ?", (self.before,)))
        if self.actor is not None:
            asked.append(("instr(lower(actor), lower(?)) > 0", (self.actor,)))
        if self.action is not None:
            asked.append(("(action = ? OR substr(action, 1, length(?) + 1) = ? || '.')", (self.action,) * 3))
        if self.app is not None:
            asked.append(("app = ?", (self.app,)))
        if self.refused is not None:
            asked.append((f"{'' if self.refused else 'NOT '}({_REFUSED})", ()))
        if self.since is not None:
            asked.append(("at >= ?", (self.since,)))
        if self.until is not None:
            asked.append(("at < ?", (self.until,)))
        return asked


ANY = Wanted()
_REFUSED = "action = 'refused' OR result LIKE 'refused:%' OR result LIKE 'failed:%'"


def page(db: Connection, limit: int, wanted: Wanted = ANY) -> list[AuditRow]:
    """The newest rows first, at most `limit`."""
    conditions = wanted.conditions
    where = f"WHERE {' AND '.join(sql for sql, _ in conditions)}" if conditions else ""
    values = [value for _, given in conditions for value in given]
    rows = db.execute(f"SELECT * FROM audit {where} ORDER BY id DESC LIMIT ?", (*values, limit))  # noqa: S608
    return [AuditRow(**dict(row)) for row in rows]


def actions(db: Connection) -> list[str]:
    """Every action that there is a row of, in the order of the alphabet."""
    return [row[0] for row in db.execute("SELECT DISTINCT action FROM audit ORDER BY action")]
