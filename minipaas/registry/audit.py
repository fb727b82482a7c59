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


def page(db: Connection, limit: int, before: int | None) -> list[AuditRow]:
    """The newest rows first, at most `limit`, older than row `before` if that is given."""
    rows = db.execute(
        "SELECT * FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?", (2**63 - 1 if before is None else before, limit)
    )
    return [AuditRow(**dict(row)) for row in rows]
