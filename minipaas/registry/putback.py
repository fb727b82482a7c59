"""An older registry in the place of a newer one: for a program that knows nothing of the newer schema.

Before every migration a copy of the file was put beside it (`database.safety_copy`); that copy is what comes back. What
always holds: the file that is replaced is kept, as `registry.db.newer`, until another one is; the copy itself stays;
the names change one after the other in an order that leaves, at any instant, either registry whole on the disk; whoever
raises has changed nothing. Only while nobody has the registry open.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
from pathlib import Path

from msgspec import Struct

from minipaas.model.errors import Missing
from minipaas.registry.database import sync_directory, sync_file
from minipaas.registry.failures import disk_failure, registry_failure, safety_copies

log = logging.getLogger(__name__)

ASIDE = "newer"
_GUARDS = (
    "INSERT INTO main.root (version, body, added) SELECT version, body, added FROM newer.root"
    " WHERE version > (SELECT coalesce(max(version), 0) FROM main.root) ORDER BY version",
    # a floor names the newest release of its app: as history, its images may be gone
    "INSERT INTO main.release (digest, app, version, epoch, sequence, body, accepted, retired)"
    " SELECT one.digest, one.app, one.version, one.epoch, one.sequence, one.body, one.accepted, one.accepted"
    " FROM newer.release AS one JOIN newer.floor ON newer.floor.newest = one.digest"
    " WHERE one.digest NOT IN (SELECT digest FROM main.release)",
    "INSERT INTO main.floor (app, epoch, sequence, min_sequence, newest)"
    " SELECT app, epoch, sequence, min_sequence, newest FROM newer.floor WHERE true"
    " ON CONFLICT (app) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence,"
    " min_sequence = excluded.min_sequence, newest = excluded.newest"
    " WHERE (excluded.epoch, excluded.sequence) >= (main.floor.epoch, main.floor.sequence)",
    "UPDATE main.box SET value = other.value FROM newer.box AS other WHERE main.box.key = 'time_floor'"
    " AND other.key = 'time_floor' AND CAST(other.value AS INTEGER) > CAST(main.box.value AS INTEGER)",
)
"""Of tables that every schema so far has had in this shape."""


class PutBack(Struct, frozen=True):
    """What came back."""

    schema: int
    at: float
    """When the copy was made, Unix seconds: what was accepted since is not in it."""


def schema_of(path: Path) -> int:
    """The schema of a registry file; 0 when there is none. Raises MinipaasError."""
    if not path.exists():
        return 0
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return int(db.execute("PRAGMA user_version").fetchone()[0])
        finally:
            db.close()
    except sqlite3.Error as error:
        raise registry_failure(error, "open", path) from error


def put_back(path: Path, schema: int) -> PutBack:
    """Put the newest copy of that schema in the registry's place. Raises Missing when there is none, NoSpace."""
    copy = next((one for one in safety_copies(path) if schema_of(one) == schema), None)
    if copy is None:
        raise Missing(
            f"cannot go back to schema {schema} of the registry: there is no copy of it beside {path}",
            hint="keep the newer minipaas, or give the older one an empty data directory and deploy again",
            code="registry.no_copy",
        )
    fresh, aside = path.with_name(f"{path.name}.back"), _aside(path)
    folded = _folded(path)
    try:
        shutil.copyfile(copy, fresh)
        fresh.chmod(0o600)
        if folded:
            _keep_guards(path, fresh)
        sync_file(fresh)
        if folded:
            for suffix in ("", "-wal", "-shm"):
                _aside(path, suffix).unlink(missing_ok=True)
            aside.hardlink_to(path)  # so that the name is never without a registry: an empty one would be begun
        else:
            _move(path, aside)
        fresh.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
            if not path.exists():
                _move(aside, path)
        raise disk_failure(error, f"put the registry back from {copy}") from error
    return PutBack(schema, copy.stat().st_mtime)


def _keep_guards(newer: Path, fresh: Path) -> None:
    """What protects a box only rises, also when it goes back: trust roots, the floors of apps and of minipaas itself,
    the earliest possible time. So of what was accepted since, the newest release of each app may be sent again, and
    nothing older: an old hole does not come back by a replay. A registry that cannot be read gives nothing."""
    db = sqlite3.connect(fresh, isolation_level=None)
    try:
        db.execute("ATTACH ? AS newer", (str(newer),))
        db.execute("BEGIN IMMEDIATE")
        for statement in _GUARDS:
            db.execute(statement)
        db.execute("COMMIT")
    except sqlite3.Error as error:
        log.warning("what was trusted since cannot be taken over: %s", error)
    finally:
        db.close()  # what is not committed is undone


def bring_forward(path: Path) -> bool:
    """Undo `put_back`; whether there was something to undo. Raises MinipaasError."""
    aside = _aside(path)
    if not aside.exists():
        return False
    try:
        _move(aside, path)
        sync_directory(path.parent)
    except OSError as error:
        raise disk_failure(error, f"bring the registry forward from {aside}") from error
    return True


def _folded(path: Path) -> bool:
    """Take the log into the file, so that it is all there is; whether that was possible: it may be damaged."""
    try:
        db = sqlite3.connect(path)
        try:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            db.close()  # the last one takes the log away
    except sqlite3.Error:
        return False
    return not path.with_name(f"{path.name}-wal").exists()


def _move(path: Path, target: Path) -> None:
    """With the log that may belong to it; what stood there is replaced, log and all."""
    for suffix in ("-wal", "-shm"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))


def _aside(path: Path, suffix: str = "") -> Path:
    return path.with_name(f"{path.name}.{ASIDE}{suffix}")
