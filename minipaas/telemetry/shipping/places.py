"""`shipping.db`: how far each destination has come, in a SQLite file of its own.

What always holds: a place and the counts that go with it are one transaction. Nothing is synced at each commit: after a
power cut the last places may be older ones, and some lines are sent twice. A damaged file is set aside and begun anew;
then everything that is kept is sent again. For one thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from minipaas.telemetry.shipping.cursor import Counts, Cursor

log = logging.getLogger(__name__)

VERSION = 1
_SCHEMA = f"""
CREATE TABLE destination (
    name TEXT PRIMARY KEY,
    counts BLOB NOT NULL       -- Counts, MessagePack
) WITHOUT ROWID, STRICT;
-- Up to where the log of a container is confirmed, in bytes of it.
CREATE TABLE reached (
    destination TEXT NOT NULL REFERENCES destination,
    app TEXT NOT NULL,
    container TEXT NOT NULL,
    ends INTEGER NOT NULL,
    PRIMARY KEY (destination, app, container)
) WITHOUT ROWID, STRICT;
PRAGMA user_version = {VERSION};
"""


class Places:
    """Opened by `load`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.anew = False
        """The file was damaged: what it had said is not known."""
        self._db: sqlite3.Connection | None = None
        self._told = ""

    def load(self, names: Collection[str]) -> dict[str, Cursor]:
        """The cursors of destinations that are known; others are forgotten."""
        try:
            db = self._open()
            return self._load(db, names)
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            if isinstance(error, sqlite3.OperationalError):  # the disk
                self.close()
                raise
            log.warning(
                "cannot use %s: %s; it is set aside, and all lines that are kept are sent again", self.path, error
            )
            self.anew = True
            self.close()
            with contextlib.suppress(OSError):
                self.path.replace(self.path.with_name(self.path.name + ".damaged"))
            for ending in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
            with contextlib.suppress(sqlite3.Error):
                self._open()
            return {}

    def save(self, name: str, cursor: Cursor) -> None:
        """What has changed. A disk that does not take it is told once; it comes with the next."""
        changes = cursor.changes()
        if self._db is None:
            return
        try:
            with self._transaction() as db:
                db.execute(
                    "INSERT OR REPLACE INTO destination VALUES (?, ?)", (name, msgspec.msgpack.encode(cursor.counts))
                )
                for (app, container), end in changes.items():
                    if end is None:
                        sql = "DELETE FROM reached WHERE destination = ? AND app = ? AND container = ?"
                        db.execute(sql, (name, app, container))
                    else:
                        db.execute("INSERT OR REPLACE INTO reached VALUES (?, ?, ?, ?)", (name, app, container, end))
            self._told = ""
        except sqlite3.Error as error:
            cursor.unsaved(changes)
            if self._told != str(error):
                self._told = str(error)
                log.warning("cannot write %s: %s", self.path, error)

    def close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        assert self._db is not None  # noqa: S101
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._db = db = sqlite3.connect(self.path, timeout=2.0, isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -256"):
            db.execute(f"PRAGMA {setting}")
        if not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            raise sqlite3.DatabaseError("it is of another version of minipaas")
        return db

    def _load(self, db: sqlite3.Connection, names: Collection[str]) -> dict[str, Cursor]:
        found: dict[str, Cursor] = {}
        for name, counts in db.execute("SELECT name, counts FROM destination").fetchall():
            if name not in names:
                db.execute("DELETE FROM reached WHERE destination = ?", (name,))
                db.execute("DELETE FROM destination WHERE name = ?", (name,))
                continue
            sql = "SELECT app, container, ends FROM reached WHERE destination = ?"
            ends = {(app, container): end for app, container, end in db.execute(sql, (name,))}
            found[name] = Cursor(ends, msgspec.msgpack.decode(counts, type=Counts))
        return found
