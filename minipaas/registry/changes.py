"""Changes: requests for a different desired state, from their beginning to how they ended.

An app has at most one active change: beginning one supersedes the other. A change that has ended never comes back:
saving a newer state of it is a conflict, and whoever holds the stale value has to look again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sqlite3 import Connection, Row

import msgspec

from minipaas.model.change import RELEASES, Change, ChangeKind, ChangeState
from minipaas.model.errors import Conflict, Missing
from minipaas.model.release import Tuning
from minipaas.model.typed import to_json
from minipaas.registry import releases
from minipaas.registry.limits import CHANGES_KEPT, clip, clip_end


def begin(
    db: Connection,
    app: str,
    kind: ChangeKind,
    *,
    target: str | None,
    fallback: str | None,
    actor: str,
    now: float,
    deadline: float,
    purge: bool = False,
    tuning: Mapping[str, Tuning] | None = None,
    hooks_done: Sequence[str] = (),
    instead: str,
) -> Change:
    """Begin a change and return it. The app's active one, if any, is superseded, with `instead` in its reason.
    `tuning`: how the target is to be run; `hooks_done`: services whose release hook needs not be run."""
    old = active(db, app)
    if old is not None:
        ended = msgspec.structs.replace(
            old, state=ChangeState.SUPERSEDED, ended=max(now, old.started), reason=f"superseded: {instead}"
        )
        _update(db, ended)
    state = ChangeState.REMOVING if kind is ChangeKind.REMOVE else ChangeState.ROLLING
    cursor = db.execute(
        "INSERT INTO change (app, kind, state, target, fallback, actor, started, deadline, purge, tuning, hooks_done) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            app,
            kind.value,
            state.value,
            target,
            fallback,
            clip(actor),
            now,
            deadline,
            purge,
            to_json(dict(tuning or {})).decode(),
            to_json(tuple(hooks_done)).decode(),
        ),
    )
    change = get(db, cursor.lastrowid or 0)
    _tell_release(db, change)
    _prune(db, app)
    return change


def save(db: Connection, change: Change) -> None:
    """Write the next state of an active change. Raises Missing, Conflict(change.ended)."""
    if change.state.active != (change.ended is None):
        raise ValueError(f"change {change.id} is {change.state} and ended={change.ended}")
    stored = get(db, change.id)
    if stored == change:
        return
    if not stored.state.active:
        raise Conflict(
            f"cannot save change {change.id} of {change.app}: it has ended already ({stored.state})",
            hint="look again; a newer change may be under way",
            code="change.ended",
        )
    _update(db, change)


def get(db: Connection, change: int) -> Change:
    """One change. Raises Missing."""
    row = db.execute("SELECT * FROM change WHERE id = ?", (change,)).fetchone()
    if row is None:
        raise Missing(f"cannot find change {change}: there is none", hint="minipaas changes", code="change.missing")
    return _change(row)


def active(db: Connection, app: str) -> Change | None:
    """The app's change under way."""
    row = db.execute("SELECT * FROM change WHERE app = ? AND ended IS NULL", (app,)).fetchone()
    return None if row is None else _change(row)


def every_active(db: Connection) -> dict[str, Change]:
    """By app, the change under way."""
    return {row["app"]: _change(row) for row in db.execute("SELECT * FROM change WHERE ended IS NULL")}


def page(db: Connection, app: str | None, limit: int) -> list[Change]:
    """The newest changes of one app, or of all, newest first."""
    if app is None:
        rows = db.execute("SELECT * FROM change ORDER BY id DESC LIMIT ?", (limit,))
    else:
        rows = db.execute("SELECT * FROM change WHERE app = ? ORDER BY id DESC LIMIT ?", (app, limit))
    return [_change(row) for row in rows]


def newest(db: Connection) -> dict[str, Change]:
    """By app, its newest change."""
    rows = db.execute("SELECT * FROM change WHERE id IN (SELECT max(id) FROM change GROUP BY app)")
    return {row["app"]: _change(row) for row in rows}


def counts(db: Connection) -> dict[tuple[str, str], int]:
    """How many changes are remembered, by kind and state."""
    rows = db.execute("SELECT kind, state, count(*) FROM change GROUP BY kind, state")
    return {(kind, state): count for kind, state, count in rows}


def _update(db: Connection, change: Change) -> None:
    db.execute(
        "UPDATE change SET state = ?, fallback = ?, deadline = ?, switched = ?, ended = ?, reason = ?, hooks_done = ?, "
        "purge = ?, tuning = ? WHERE id = ?",
        (
            change.state.value,
            change.fallback,
            change.deadline,
            change.switched,
            change.ended,
            clip_end(change.reason),
            msgspec.json.encode(change.hooks_done).decode(),
            change.purge,
            tuning_text(change),
            change.id,
        ),
    )
    _tell_release(db, change)


def _tell_release(db: Connection, change: Change) -> None:
    """A restart that failed says nothing of the release."""
    if change.kind in RELEASES:
        releases.set_outcome(db, change.target, change.state)


def tuning_text(change: Change) -> str:
    """As it stands in the table; equal tunings are equal texts."""
    return to_json(change.tuning).decode()


def _prune(db: Connection, app: str) -> None:
    """Let the oldest finished changes of an app go, their journal with them."""
    db.execute(
        "DELETE FROM change WHERE app = ? AND ended IS NOT NULL AND id <= "
        "(SELECT id FROM change WHERE app = ? AND ended IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (app, app, CHANGES_KEPT),
    )


def _change(row: Row) -> Change:
    values = dict(row)
    values["kind"] = ChangeKind(row["kind"])
    values["state"] = ChangeState(row["state"])
    values["hooks_done"] = tuple(msgspec.json.decode(row["hooks_done"]))
    values["purge"] = bool(row["purge"])
    values["tuning"] = releases.tuning_of(row["tuning"])
    return Change(**values)
