"""Rehearsals: what a request would begin, asked of the very code that begins it, and taken back.

Each is a transaction that is never committed: it raises what the request would raise, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sqlite3 import Connection

from minipaas.model.change import AppDesired, Change
from minipaas.model.release import Release
from minipaas.registry import apps, requests
from minipaas.registry.database import Database

_NOBODY = "rehearsal"


class Rehearsal:
    """Answers with the app as it would be desired. Times are Unix seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(
        self,
        release: Release,
        *,
        new_roots: Sequence[bytes],
        trusted_root: int | None,
        now: float,
        clean: frozenset[str] = frozenset(),
    ) -> AppDesired:
        """As `requests.accept`."""
        return await self._of(
            lambda db: requests.accept(
                db,
                release,
                new_roots=new_roots,
                trusted_root=trusted_root,
                actor=_NOBODY,
                origin=_NOBODY,
                now=now,
                clean=clean,
            )
        )

    async def rollback(self, app: str, to: str | None, now: float) -> AppDesired:
        """As `requests.rollback`."""
        return await self._of(lambda db: requests.rollback(db, app, to, actor=_NOBODY, origin=_NOBODY, now=now))

    async def remove(self, app: str, *, purge: bool, leftovers: bool, now: float) -> AppDesired:
        """As `requests.remove`."""
        return await self._of(
            lambda db: requests.remove(
                db, app, purge=purge, leftovers=leftovers, actor=_NOBODY, origin=_NOBODY, now=now
            )
        )

    async def restart(self, app: str, service: str | None, now: float) -> AppDesired:
        """As `requests.restart`."""
        return await self._of(lambda db: requests.restart(db, app, service, actor=_NOBODY, origin=_NOBODY, now=now))

    async def scale(self, app: str, service: str, replicas: int | None, now: float) -> AppDesired:
        """As `requests.scale`."""
        return await self._of(
            lambda db: requests.scale(db, app, service, replicas, actor=_NOBODY, origin=_NOBODY, now=now)
        )

    async def _of(self, begin: Callable[[Connection], Change]) -> AppDesired:
        def work(db: Connection) -> AppDesired:
            change = begin(db)
            return next(one for one in apps.desired(db).apps if one.app == change.app)

        return await self._database.write(lambda: self._database.rehearse(work))
