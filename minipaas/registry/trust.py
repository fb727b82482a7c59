"""What the box believes and how far it has come: trust roots, floors, the earliest possible time.

Roots are only appended, in order; floors and time only rise. Whether a root is to be believed was decided before
(`bundle.root`); here it is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection

import msgspec
from msgspec import Struct

from minipaas.model.errors import Conflict, Refused
from minipaas.model.release import Floor, Release


class _RootSigned(Struct):
    version: int


class _RootFile(Struct):
    signed: _RootSigned


def roots(db: Connection) -> tuple[bytes, ...]:
    """Every root.json, oldest first."""
    return tuple(row["body"] for row in db.execute("SELECT body FROM root ORDER BY version"))


def newest_root(db: Connection) -> int:
    """Version of the newest root; 0 when the box trusts nobody yet."""
    return int(db.execute("SELECT coalesce(max(version), 0) FROM root").fetchone()[0])


def append_roots(db: Connection, new: Sequence[tuple[int, bytes]], now: float) -> list[int]:
    """Add roots in order; returns the versions that were not known. A known version with the same bytes is passed over.
    Raises Conflict(root.fork), Refused(root.gap)."""
    added: list[int] = []
    for version, body in sorted(new):
        known = db.execute("SELECT body FROM root WHERE version = ?", (version,)).fetchone()
        if known is not None:
            if known["body"] != body:
                raise Conflict(
                    f"cannot add root {version}: this box trusts a different root of the same version",
                    hint="somebody has forked the chain of roots; compare them: minipaas trust list",
                    code="root.fork",
                )
            continue
        newest = newest_root(db)
        if newest and version != newest + 1:
            raise Refused(
                f"cannot add root {version}: the newest here is {newest}, and none may be left out",
                hint=f"add root {newest + 1} first",
                code="root.gap",
            )
        db.execute("INSERT INTO root (version, body, added) VALUES (?, ?, ?)", (version, body, now))
        added.append(version)
    return added


def numbered(root: bytes) -> tuple[int, bytes]:
    """A checked root.json with its version (TUF specification, 4.3). Raises Refused(root.unreadable)."""
    try:
        return msgspec.json.decode(root, type=_RootFile).signed.version, root
    except msgspec.MsgspecError as error:
        raise Refused(f"cannot add a trust root: it is no root.json: {error}", code="root.unreadable") from error


def floors(db: Connection) -> dict[str, Floor]:
    """Every app's floor, also of apps that were removed."""
    rows = db.execute("SELECT app, epoch, sequence, min_sequence FROM floor")
    return {
        row["app"]: Floor(epoch=row["epoch"], sequence=row["sequence"], min_sequence=row["min_sequence"])
        for row in rows
    }


def floor(db: Connection, app: str) -> Floor:
    """An app's floor; all zero for an app that was never here."""
    row = db.execute("SELECT epoch, sequence, min_sequence FROM floor WHERE app = ?", (app,)).fetchone()
    return Floor(**dict(row)) if row else Floor()


def newest(db: Connection) -> dict[str, str]:
    """By app, the digest of the newest accepted release."""
    return {row["app"]: row["newest"] for row in db.execute("SELECT app, newest FROM floor")}


def below(release: Release, floor: Floor) -> bool:
    """Whether a release may not be gone back to. minSequence counts within its epoch: a new epoch starts over, so that
    a thief's sky-high minSequence can be overcome, and puts all earlier epochs below the floor."""
    return release.order < (floor.epoch, floor.min_sequence)


def refuse_downgrade(db: Connection, release: Release) -> None:
    """Raises Refused(release.downgrade, release.below_floor). The verifier has asked the same, but two uploads may have
    been verified against one floor at once. The newest accepted release itself may come again."""
    old = floor(db, release.app)
    if newest(db).get(release.app) == release.digest:
        return
    if release.order <= (old.epoch, old.sequence):
        raise Refused(
            f"cannot accept {release.app} {release.version}: sequence {release.sequence} of epoch {release.epoch} is "
            f"not newer than {old.sequence} of epoch {old.epoch}, which this box has accepted",
            hint=f"to go back on purpose: minipaas rollback {release.app}",
            code="release.downgrade",
        )
    if below(release, old):
        raise Refused(
            f"cannot accept {release.app} {release.version}: sequence {release.sequence} is below the lowest allowed, "
            f"{old.min_sequence}",
            hint="build the bundle with a higher sequence",
            code="release.below_floor",
        )


def raise_floor(db: Connection, release: Release) -> None:
    """Let an accepted release raise its app's floor, and the time."""
    old = floor(db, release.app)
    same_epoch = release.epoch == old.epoch
    lowest = max(old.min_sequence, release.min_sequence) if same_epoch else release.min_sequence
    db.execute(
        "INSERT INTO floor (app, epoch, sequence, min_sequence, newest) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (app) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence, "
        "min_sequence = excluded.min_sequence, newest = excluded.newest",
        (release.app, release.epoch, release.sequence, lowest, release.digest),
    )
    db.execute("UPDATE box SET value = max(CAST(value AS INTEGER), ?) WHERE key = 'time_floor'", (release.issued,))


def time_floor(db: Connection) -> int:
    """Unix seconds; 0 before the first release."""
    return int(db.execute("SELECT value FROM box WHERE key = 'time_floor'").fetchone()[0])
