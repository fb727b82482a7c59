"""Releases: what was accepted, what came of it, and which blobs it needs.

A release row is never changed in what it is, only in what became of it: confirmed (it once proved itself), its last
outcome, retired (its blobs were given up). A retired release is history; it can be uploaded again if it is the newest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from sqlite3 import Connection, Row

import msgspec
from msgspec import Struct

from minipaas.model.change import ChangeState
from minipaas.model.errors import Invalid, MinipaasError, Missing, Refused
from minipaas.model.release import Release, Tuning, tuned
from minipaas.model.typed import from_json, to_json
from minipaas.registry.limits import DIGEST_PREFIX, RELEASES_DECODED, RETIRED_KEPT

_HEX = re.compile(rf"(?:sha256:)?([0-9a-f]{{{DIGEST_PREFIX},64}})")
_LARGEST = 2**63 - 1
_ROW = (
    "SELECT release.*, release.digest IS app.serving AS is_serving, release.digest IS app.good AS is_good "
    "FROM release LEFT JOIN app ON app.name = release.app "
)
_NEWEST_FIRST = " ORDER BY epoch DESC, sequence DESC"


class ReleaseRow(Struct, frozen=True, kw_only=True):
    """A release and what became of it. Times are Unix seconds."""

    release: Release
    accepted_at: float
    outcome: str
    """State of the last change that wanted it; empty: none did."""
    confirmed_at: float | None
    """When it first proved itself; None: never."""
    retired_at: float | None
    """When its blobs were given up; None: it can be gone back to."""
    serving: bool
    good: bool

    @property
    def retired(self) -> bool:
        """Whether it is only history here."""
        return self.retired_at is not None


@lru_cache(maxsize=RELEASES_DECODED)
def decode(body: str) -> Release:
    """A stored release; the same text is decoded once."""
    try:
        return from_json(body, Release)
    except msgspec.MsgspecError as error:
        raise MinipaasError(
            f"cannot read a stored release: {error}",
            hint="it was written by another version of minipaas; start that one, or deploy the app again",
            code="registry.release",
        ) from error


@lru_cache(maxsize=RELEASES_DECODED)
def _as_tuned(body: str, tuning: str) -> Release:
    """A stored release as it is to be run; the same texts give the same object."""
    return tuned(decode(body), tuning_of(tuning))


def tuning_of(text: str) -> dict[str, Tuning]:
    """What stands in a `tuning` column."""
    return from_json(text, dict[str, Tuning])


def put(db: Connection, release: Release, now: float) -> None:
    """Write a release; one that is known is complete again (not retired). Raises Refused(release.number)."""
    if not 0 <= release.sequence <= _LARGEST or not 0 <= release.epoch <= _LARGEST:
        raise Refused(f"cannot accept {release.app}: its epoch or sequence is too large", code="release.number")
    db.execute(
        "INSERT INTO release (digest, app, version, epoch, sequence, body, accepted) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (digest) DO UPDATE SET body = excluded.body, retired = NULL",
        (
            release.digest,
            release.app,
            release.version,
            release.epoch,
            release.sequence,
            to_json(release).decode(),
            now,
        ),
    )


def get(db: Connection, digest: str) -> Release:
    """The release of that digest, retired or not. Raises Missing."""
    release = known(db, digest)
    if release is None:
        raise Missing(f"cannot find release {digest}: this box never accepted it", code="release.missing")
    return release


def known(db: Connection, digest: str) -> Release | None:
    """The release of that digest; None when this box never accepted it."""
    row = db.execute("SELECT body FROM release WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else decode(row["body"])


def maybe(db: Connection, digest: str | None) -> Release | None:
    """The release of that digest, None for None."""
    return None if digest is None else get(db, digest)


def running(db: Connection, digest: str | None, tuning: str) -> Release | None:
    """The release of that digest as it is to be run (`tuning`: JSON), None for None. Raises Missing."""
    if digest is None:
        return None
    row = db.execute("SELECT body FROM release WHERE digest = ?", (digest,)).fetchone()
    return get(db, digest) if row is None else _as_tuned(row["body"], tuning)


def every(db: Connection, app: str) -> list[ReleaseRow]:
    """All releases of an app that are remembered, newest first."""
    return [_row(row) for row in db.execute(_ROW + "WHERE release.app = ?" + _NEWEST_FIRST, (app,))]


def named(db: Connection, app: str, name: str) -> ReleaseRow:
    """What a person means by `name`: a version, a sequence number, or the digest or its beginning; tried in this order.
    Raises Missing, Invalid(release.ambiguous)."""
    rows = [
        _row(row) for row in db.execute(_ROW + "WHERE release.app = ? AND version = ?" + _NEWEST_FIRST, (app, name))
    ]
    if not rows and name.isascii() and name.isdigit() and int(name) <= _LARGEST:
        found = db.execute(_ROW + "WHERE release.app = ? AND sequence = ?" + _NEWEST_FIRST, (app, int(name)))
        rows = [_row(row) for row in found]
    if rows:
        # The same version may have been built twice; the newest that is still complete is meant.
        return next((row for row in rows if not row.retired), rows[0])
    if match := _HEX.fullmatch(name.lower()):
        found = db.execute(
            _ROW + "WHERE release.app = ? AND digest LIKE ?" + _NEWEST_FIRST, (app, f"sha256:{match[1]}%")
        )
        rows = [_row(row) for row in found]
    if len(rows) > 1:
        raise Invalid(
            f"cannot tell which release of {app} is meant: {len(rows)} digests begin with {name}",
            hint="give more digits",
            code="release.ambiguous",
        )
    if not rows:
        raise Missing(
            f"cannot find release {name} of {app}: this box never accepted it, or forgot it",
            hint=f"see what there is: minipaas status {app}",
            code="release.missing",
        )
    return rows[0]


def confirmed_before(db: Connection, app: str, limit: tuple[int, int] | None, *, inclusive: bool) -> ReleaseRow | None:
    """The newest complete release that once proved itself, and comes before `limit` (epoch, sequence) if given."""
    for row in every(db, app):
        if row.confirmed_at is None or row.retired:
            continue
        if limit is None or row.release.order < limit or (inclusive and row.release.order == limit):
            return row
    return None


def confirm(db: Connection, digest: str, at: float) -> None:
    """Remember that a release has proved itself."""
    db.execute("UPDATE release SET confirmed = ? WHERE digest = ? AND confirmed IS NULL", (at, digest))


def set_outcome(db: Connection, digest: str | None, state: ChangeState) -> None:
    """Remember how the last change that wanted a release stands."""
    db.execute("UPDATE release SET outcome = ? WHERE digest = ?", (state.value, digest))


def retire(db: Connection, app: str, digests: Iterable[str], protected: frozenset[str], now: float) -> tuple[str, ...]:
    """Mark releases as given up, except the protected; returns those that are retired by this call. Forgets the oldest
    retired ones that no kept change names."""
    gone = []
    for digest in digests:
        if digest in protected:
            continue
        done = db.execute(
            "UPDATE release SET retired = ? WHERE digest = ? AND app = ? AND retired IS NULL", (now, digest, app)
        )
        if done.rowcount:
            gone.append(digest)
    db.execute(
        "DELETE FROM release WHERE digest IN ("
        "  SELECT digest FROM release WHERE app = ? AND retired IS NOT NULL"
        "  ORDER BY epoch DESC, sequence DESC LIMIT -1 OFFSET ?)"
        " AND NOT EXISTS (SELECT 1 FROM change WHERE target = release.digest)"
        " AND NOT EXISTS (SELECT 1 FROM change WHERE fallback = release.digest)"
        " AND NOT EXISTS (SELECT 1 FROM floor WHERE newest = release.digest)"
        " AND NOT EXISTS (SELECT 1 FROM app WHERE release.digest IN (serving, good))",
        (app, RETIRED_KEPT),
    )
    return tuple(gone)


def stored(db: Connection) -> dict[str, list[Release]]:
    """By app, the releases that are complete on this box, newest first."""
    found: dict[str, list[Release]] = {}
    rows = db.execute("SELECT app, body FROM release WHERE retired IS NULL ORDER BY epoch DESC, sequence DESC")
    for row in rows:
        found.setdefault(row["app"], []).append(decode(row["body"]))
    return found


def needed_blobs(db: Connection) -> set[str]:
    """Every blob of every release that is not retired."""
    rows = db.execute("SELECT body FROM release WHERE retired IS NULL")
    return {blob for row in rows for blob in decode(row["body"]).blobs}


def _row(row: Row) -> ReleaseRow:
    return ReleaseRow(
        release=decode(row["body"]),
        accepted_at=row["accepted"],
        outcome=row["outcome"] or "",
        confirmed_at=row["confirmed"],
        retired_at=row["retired"],
        serving=bool(row["is_serving"]),
        good=bool(row["is_good"]),
    )
