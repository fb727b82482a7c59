"""Notes: what the box remembers of its containers, because Podman cannot know it."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

from minipaas.model.observed import Note


def every(db: Connection) -> dict[str, Note]:
    """All notes, by container id."""
    rows = db.execute("SELECT container, boot, stopped FROM note")
    return {row["container"]: Note(boot=row["boot"], stopped=row["stopped"]) for row in rows}


def put(db: Connection, container: str, boot: str | None, stopped: str | None) -> None:
    """Change what is given; None leaves a part as it is."""
    db.execute("INSERT OR IGNORE INTO note (container) VALUES (?)", (container,))
    db.execute(
        "UPDATE note SET boot = coalesce(?, boot), stopped = coalesce(?, stopped) WHERE container = ?",
        (boot, stopped, container),
    )


def drop(db: Connection, containers: Iterable[str]) -> None:
    """Forget containers that are gone."""
    db.executemany("DELETE FROM note WHERE container = ?", [(container,) for container in containers])
