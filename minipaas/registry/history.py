"""What happened to an app, in one order of time: changes, upkeep, deaths, and what the audit has of it.

Each source is asked by its own index for as many rows as the page can take, so a page costs the same however long the
history is.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from sqlite3 import Connection, Row

from msgspec import Struct

from minipaas.model.change import Change
from minipaas.registry import changes, journal
from minipaas.registry.audit import AuditRow
from minipaas.registry.deaths import Death
from minipaas.registry.journal import JournalRow
from minipaas.registry.limits import CHANGES_KEPT, OWN_TOLD


class Sort(IntEnum):
    """What sort of thing happened. Of what happened in the same microsecond, the greater comes later."""

    AUDIT = 0
    BEGAN = 1
    UPKEEP = 2
    DEATH = 3
    ENDED = 4


class Place(Struct, frozen=True, order=True):
    """Where something stands in the history; later is greater. As text, `1795509932000000-2-17`."""

    micros: int
    """Unix time, microseconds."""
    sort: int
    id: int

    def __str__(self) -> str:
        return f"{self.micros}-{self.sort}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """From its text. Raises ValueError."""
        micros, sort, number = map(int, text.split("-"))
        return cls(micros, sort, number)


class Happening(Struct, frozen=True):
    """One thing that happened. `what` is the row behind it: of a change's beginning and of its end, the change."""

    place: Place
    what: Change | JournalRow | Death | AuditRow


def page(db: Connection, app: str, limit: int, before: Place | None, audited: bool) -> list[Happening]:
    """The newest first, at most `limit`, only what stands before `before`. `audited`: the audit's rows too."""
    sources = [_changes(db, app), _upkeep(db, app, limit, before), _deaths(db, app, limit, before)]
    if audited:
        sources.append(_audit(db, app, limit, before))
    found = [one for source in sources for one in source if before is None or one.place < before]
    return sorted(found, key=lambda one: one.place, reverse=True)[:limit]


def _changes(db: Connection, app: str) -> Iterator[Happening]:
    for change in changes.page(db, app, CHANGES_KEPT + 1):
        yield Happening(_place(change.started, Sort.BEGAN, change.id), change)
        if change.ended is not None:
            yield Happening(_place(change.ended, Sort.ENDED, change.id), change)


def _upkeep(db: Connection, app: str, limit: int, before: Place | None) -> Iterator[Happening]:
    for row in _rows(db, "SELECT * FROM step WHERE change IS NULL AND app = ?", "started", app, limit, before):
        step = journal.row_of(dict(row))
        yield Happening(_place(step.started, Sort.UPKEEP, step.id), step)


def _deaths(db: Connection, app: str, limit: int, before: Place | None) -> Iterator[Happening]:
    for row in _rows(db, "SELECT * FROM death WHERE app = ?", "at", app, limit, before):
        values = dict(row)
        number = values.pop("id")
        yield Happening(_place(row["at"], Sort.DEATH, number), Death(**values))


def _audit(db: Connection, app: str, limit: int, before: Place | None) -> Iterator[Happening]:
    # Who began a change is told where the change begins.
    begun = "result GLOB 'change [0-9]*' AND substr(result, 8) + 0 IN (SELECT id FROM change)"
    for row in _rows(db, f"SELECT * FROM audit WHERE app = ? AND NOT ({begun})", "at", app, limit, before):  # noqa: S608
        yield Happening(_place(row["at"], Sort.AUDIT, row["id"]), AuditRow(**dict(row)))


def _rows(db: Connection, select: str, clock: str, app: str, limit: int, before: Place | None) -> Iterator[Row]:
    """The newest rows: `limit` of them, and those of the microsecond in which the page before has ended."""
    until = (before.micros + 1) / 1e6 if before is not None else 1e12
    taken = 0
    for row in db.execute(f"{select} AND {clock} <= ? ORDER BY {clock} DESC, id DESC", (app, until)):
        if taken == limit:
            return
        taken += before is None or _micros(row[clock]) < before.micros
        yield row


def _place(at: float, sort: Sort, number: int) -> Place:
    return Place(_micros(at), sort.value, number)


def _micros(at: float) -> int:
    return round(at * 1e6)


class Past(Struct, frozen=True, kw_only=True):
    """What happened to an app in a stretch of time, each sort in order of time."""

    changes: tuple[Change, ...]
    """Those that were under way in it."""
    starts: tuple[JournalRow, ...]
    """Instances that were started outside any change: in the place of those that had died."""
    deaths: tuple[Death, ...]
    own: tuple[AuditRow, ...]
    """What was done to minipaas itself."""


def past(db: Connection, app: str, since: float, until: float) -> Past:
    """Of [since, until), Unix seconds. What is remembered of an app is bounded, and so is this."""
    between = (app, since, until)
    starts = db.execute(
        "SELECT * FROM step WHERE change IS NULL AND app = ? AND started >= ? AND started < ? "
        "AND kind IN ('StartInstance', 'WakeInstance') ORDER BY started, id",
        between,
    )
    deaths = db.execute(
        "SELECT app, service, container, name, release, at, detail FROM death "
        "WHERE app = ? AND at >= ? AND at < ? ORDER BY at, id",
        between,
    )
    own = db.execute(
        "SELECT * FROM audit WHERE app IS NULL AND at >= ? AND at < ? AND action GLOB 'self.*' "
        "ORDER BY id DESC LIMIT ?",
        (since, until, OWN_TOLD),
    )
    return Past(
        changes=tuple(
            change
            for change in reversed(changes.page(db, app, CHANGES_KEPT + 1))
            if change.started < until and (change.ended is None or change.ended >= since)
        ),
        starts=tuple(journal.row_of(dict(row)) for row in starts),
        deaths=tuple(Death(**dict(row)) for row in deaths),
        own=tuple(reversed([AuditRow(**dict(row)) for row in own])),
    )
