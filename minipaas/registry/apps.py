"""Apps: what each should be. `serving` is what its routes were last switched to, `good` the last release that was
confirmed; to both belongs how the operator wants them run. An app is there from its first accepted release until its
removal has finished."""

from __future__ import annotations

from sqlite3 import Connection

from msgspec import Struct

from minipaas.model.change import AppDesired, Desired
from minipaas.model.errors import Missing
from minipaas.registry import changes, releases

UNTUNED = "{}"


class Pointers(Struct, frozen=True, kw_only=True):
    """Digests of the two releases an app stands on, and how they are to be run (JSON, `release.Tuning` by service)."""

    serving: str | None = None
    good: str | None = None
    serving_tuning: str = UNTUNED
    good_tuning: str = UNTUNED


def ensure(db: Connection, app: str) -> Pointers:
    """The app's pointers; it is there from now on."""
    db.execute("INSERT OR IGNORE INTO app (name) VALUES (?)", (app,))
    return get(db, app)


def get(db: Connection, app: str) -> Pointers:
    """The app's pointers. Raises Missing."""
    row = db.execute("SELECT serving, good, serving_tuning, good_tuning FROM app WHERE name = ?", (app,)).fetchone()
    if row is None:
        raise Missing(f"cannot find app {app}: it is not on this box", hint="minipaas status", code="app.missing")
    return Pointers(**dict(row))


def point(db: Connection, app: str, pointers: Pointers) -> None:
    """Move the pointers."""
    db.execute(
        "UPDATE app SET serving = ?, good = ?, serving_tuning = ?, good_tuning = ? WHERE name = ?",
        (pointers.serving, pointers.good, pointers.serving_tuning, pointers.good_tuning, app),
    )


def forget(db: Connection, app: str) -> None:
    """The app is gone; floors, releases and changes stay as history."""
    db.execute("DELETE FROM app WHERE name = ?", (app,))


def desired(db: Connection) -> Desired:
    """Everything this box should be, apps by name."""
    active = changes.every_active(db)
    return Desired(
        apps=tuple(
            AppDesired(
                app=row["name"],
                serving=releases.running(db, row["serving"], row["serving_tuning"]),
                good=releases.running(db, row["good"], row["good_tuning"]),
                change=(change := active.get(row["name"])),
                target=releases.running(db, change.target, changes.tuning_text(change)) if change else None,
            )
            for row in db.execute(
                "SELECT name, serving, good, serving_tuning, good_tuning FROM app ORDER BY name"
            ).fetchall()
        )
    )
