"""Apps: what each should be. `serving` is what its routes were last switched to, `good` the last release that was
confirmed. An app is there from its first accepted release until its removal has finished."""

from __future__ import annotations

from sqlite3 import Connection

from msgspec import Struct

from minipaas.model.change import AppDesired, Desired
from minipaas.model.errors import Missing
from minipaas.registry import changes, releases


class Pointers(Struct, frozen=True, kw_only=True):
    """Digests of the two releases an app stands on."""

    serving: str | None = None
    good: str | None = None


def ensure(db: Connection, app: str) -> Pointers:
    """The app's pointers; it is there from now on."""
    db.execute("INSERT OR IGNORE INTO app (name) VALUES (?)", (app,))
    return get(db, app)


def get(db: Connection, app: str) -> Pointers:
    """The app's pointers. Raises Missing."""
    row = db.execute("SELECT serving, good FROM app WHERE name = ?", (app,)).fetchone()
    if row is None:
        raise Missing(f"cannot find app {app}: it is not on this box", hint="minipaas status", code="app.missing")
    return Pointers(serving=row["serving"], good=row["good"])


def point(db: Connection, app: str, pointers: Pointers) -> None:
    """Move the pointers."""
    db.execute("UPDATE app SET serving = ?, good = ? WHERE name = ?", (pointers.serving, pointers.good, app))


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
                serving=releases.maybe(db, row["serving"]),
                good=releases.maybe(db, row["good"]),
                change=(change := active.get(row["name"])),
                target=releases.maybe(db, change.target) if change else None,
            )
            for row in db.execute("SELECT name, serving, good FROM app ORDER BY name").fetchall()
        )
    )
