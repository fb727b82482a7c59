"""The SQLite file: one connection that writes, one that reads, each on a thread of its own.

What always holds: a write is one short transaction (BEGIN IMMEDIATE … COMMIT) on the writer's thread, all of it or
nothing; a read sees one commit; COMMIT returns only when the data is on the disk (synchronous=FULL); a file with
a newer schema is never touched; before a migration there is a copy of the file beside it. Only this module opens
the file, and sqlite3's errors leave it as MinipaasError.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from minipaas.model.errors import MinipaasError, NoSpace, Refused
from minipaas.registry import limits
from minipaas.registry.failures import disk_failure, registry_corrupt, registry_failure
from minipaas.registry.schema import APPLICATION_ID, Schema, current

T = TypeVar("T")


class Database:
    """An open registry file. Made by `open`; ends with `close`."""

    def __init__(
        self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection, on_full: Callable[[], bool] | None
    ) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader
        self._on_full = on_full
        self._closed = False
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="registry-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="registry-read")

    @classmethod
    def open(cls, path: Path, schema: Schema | None = None, *, on_full: Callable[[], bool] | None = None) -> Database:
        """Create, check, copy and migrate the file as needed. `on_full` is asked to free space when the disk is full
        and says whether it did; what failed is then tried once more. Raises Refused(registry.newer),
        MinipaasError(registry.corrupt, registry.readonly, …), NoSpace."""
        try:
            return cls._open(path, schema or current(), on_full)
        except MinipaasError as error:
            # Room for the log's index (-shm) that is missing shows as an input/output error.
            short = isinstance(error, NoSpace) or error.code == "registry.io"
            if not (short and on_full is not None and on_full()):
                raise
        return cls._open(path, schema or current(), on_full)

    @classmethod
    def _open(cls, path: Path, schema: Schema, on_full: Callable[[], bool] | None) -> Database:
        _create_file(path)
        connections: list[sqlite3.Connection] = []
        try:
            writer = _connect(path)
            connections.append(writer)
            _prepare(writer, path, schema)
            reader = _connect(path)
            connections.append(reader)
            reader.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            _close_all(connections)
            raise registry_failure(error, "open", path) from error
        except BaseException:
            _close_all(connections)
            raise
        return cls(path, writer, reader, on_full)

    async def write(self, job: Callable[[], T]) -> T:
        """Run a job on the writer's thread; it calls `transact`."""
        return await self._on(self._write_thread, job)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query on the reader's thread; all its statements see the same commit."""
        return await self._on(self._read_thread, lambda: self._query(work))

    def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """One transaction: all of `work` or nothing. On the writer's thread only (or before there are others). On a
        full disk `work` is called again after each rescue that found some room. Raises NoSpace, MinipaasError."""
        rescues = iter([self._recycle_log, *([self._on_full] if self._on_full else [])])
        while True:
            try:
                return self._transact(work)
            except sqlite3.Error as error:
                failure = registry_failure(error, "write", self.path)
                if not (isinstance(failure, NoSpace) and any(rescue() for rescue in rescues)):
                    raise failure from error

    def rehearse(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` would give; nothing of it stays. On the writer's thread only. Raises NoSpace, MinipaasError."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                return work(self._writer)
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise registry_failure(error, "write", self.path) from error

    async def keep_copy(self) -> bool:
        """Renew the safety copy if it is a day old; returns whether it was."""
        return await self._on(self._read_thread, lambda: _daily_copy(self._reader, self.path))

    async def close(self) -> None:
        """Wait for what is under way, fold the log into the file and close it. Once is enough; twice does no harm."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._read_thread, self._reader.close)
        await loop.run_in_executor(self._write_thread, self._writer.close)
        self._read_thread.shutdown()
        self._write_thread.shutdown()

    async def _on(self, thread: ThreadPoolExecutor, job: Callable[[], T]) -> T:
        if self._closed:
            raise MinipaasError(f"cannot use the registry {self.path}: it is closed", code="registry.closed")
        return await asyncio.get_running_loop().run_in_executor(thread, job)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            result = work(self._writer)
            self._writer.execute("COMMIT")
        except BaseException:
            # A full disk makes SQLite roll back by itself; everything else is still open here.
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise
        return result

    def _recycle_log(self) -> bool:
        """Write the log's pages back, so that the next transaction overwrites it from its beginning, in space that the
        file has already (https://sqlite.org/c3ref/wal_checkpoint_v2.html, RESTART). Returns whether that was so."""
        try:
            busy, pages, _ = self._writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        except sqlite3.Error:
            return False  # the file itself would have to grow
        return not busy and pages > 0

    def _query(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            self._reader.execute("BEGIN")
            try:
                return work(self._reader)
            finally:
                if self._reader.in_transaction:
                    self._reader.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise registry_failure(error, "read", self.path) from error


def _create_file(path: Path) -> None:
    """An empty file that only its owner may read: specs hold environment values. SQLite gives -wal the same rights."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_directory(path.parent)
    except OSError as error:
        raise disk_failure(error, f"open the registry {path}") from error


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=limits.BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {limits.WAL_PAGES}")
    db.execute(f"PRAGMA journal_size_limit = {limits.WAL_KEPT}")
    return db


def _close_all(connections: list[sqlite3.Connection]) -> None:
    for connection in connections:
        connection.close()


def _prepare(db: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """From whatever the file is to a sound registry of this program's version, or an error and no change."""
    version = _pragma(db, "user_version")
    tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and _pragma(db, "application_id") != APPLICATION_ID:
        raise MinipaasError(
            f"cannot open the registry {path}: it is a database of another program",
            hint="name another data directory",
            code="registry.foreign",
        )
    if version > schema.version:
        raise Refused(
            f"cannot open the registry {path}: its schema is version {version}, this minipaas knows {schema.version}",
            hint="start the newer minipaas again, or go back to a copy of the registry that is as old as this program",
            code="registry.newer",
        )
    damage = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise registry_corrupt(path, str(damage))
    db.execute("PRAGMA journal_mode = WAL")
    if not tables:
        _apply(db, schema.create, schema.version)
        return
    if version < schema.version:
        safety_copy(db, path, f"before-v{schema.version}")
        for number in range(version + 1, schema.version + 1):
            _apply(db, schema.migrations[number], number)
    else:
        # A full disk must not keep the box from starting: then the old copy stays.
        with contextlib.suppress(NoSpace):
            _daily_copy(db, path)


def _apply(db: sqlite3.Connection, script: str, version: int) -> None:
    """Run the statements of a migration and set the version, in one transaction. Tables may be rebuilt meanwhile
    (https://sqlite.org/lang_altertable.html#otheralter), so foreign keys are checked at the end, as a whole."""
    db.execute("PRAGMA foreign_keys = OFF")
    try:
        db.execute("BEGIN IMMEDIATE")
        for statement in statements(script):
            db.execute(statement)
        broken = db.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise MinipaasError(
                f"cannot bring the registry to version {version}: rows of {broken[0][0]} point nowhere",
                hint="start the minipaas that was here before, and report this",
                code="registry.migration",
            )
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    finally:
        db.execute("PRAGMA foreign_keys = ON")


def statements(script: str) -> list[str]:
    """The statements of an SQL script, comments included."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if ";" in line and sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _daily_copy(db: sqlite3.Connection, path: Path) -> bool:
    """A copy of the sound file, at most one a day, for the day on which the file is damaged; returns whether it was
    made. A clock that jumped makes one too many rather than none."""
    copy = copy_path(path, "day")
    if copy.exists() and abs(time.time() - copy.stat().st_mtime) < limits.COPY_INTERVAL:
        return False
    safety_copy(db, path, "day")
    return True


def copy_path(path: Path, label: str) -> Path:
    """Where the safety copy of that label stands: beside the registry."""
    return path.with_name(f"{path.name}.{label}.copy")


def safety_copy(db: sqlite3.Connection, path: Path, label: str) -> Path:
    """A whole, synced copy of the registry beside it, by SQLite's backup API. Raises NoSpace, MinipaasError; then
    nothing of the attempt is left."""
    copy = copy_path(path, label)
    partial = copy.with_name(copy.name + ".tmp")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        target = sqlite3.connect(partial)
        try:
            db.backup(target)
        finally:
            target.close()
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(copy)
        sync_directory(copy.parent)
    except sqlite3.Error as error:
        raise registry_failure(error, "copy", path) from error
    except OSError as error:
        raise disk_failure(error, f"copy the registry to {copy}") from error
    finally:
        partial.unlink(missing_ok=True)
    return copy


def sync_file(path: Path) -> None:
    """Make the content of a file survive a power cut (fsync(2))."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: Path) -> None:
    """Make renames and new names in a directory survive a power cut (fsync(2))."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
