"""Deaths: instances that ended by themselves. A row outlives its container, which makes room for others sooner."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

from msgspec import Struct

from minipaas.registry.limits import DEATHS_KEPT, clip


class Death(Struct, frozen=True, kw_only=True):
    """One end of one container."""

    app: str
    service: str
    container: str
    """Podman's id of it."""
    name: str
    release: str
    """Digest."""
    at: float
    """Unix seconds."""
    detail: str
    """How it ended, for people: `exit code 3`."""


def add(db: Connection, deaths: Iterable[Death]) -> None:
    """Write those that are new; of an app the oldest beyond the limit go."""
    apps = set()
    for one in deaths:
        apps.add(one.app)
        db.execute(
            "INSERT OR IGNORE INTO death (app, service, container, name, release, at, detail) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (one.app, one.service, one.container, clip(one.name), one.release, one.at, clip(one.detail)),
        )
    for app in apps:
        db.execute(
            "DELETE FROM death WHERE app = ? AND id <= "
            "(SELECT id FROM death WHERE app = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (app, app, DEATHS_KEPT),
        )
