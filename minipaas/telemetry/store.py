"""`metrics.db`: points at falling resolution and the apps' histories, in a SQLite file of their own.

What always holds: losing the file loses nothing that matters, so nothing that goes wrong with it is anybody else's
trouble: a damaged one is set aside as `metrics.db.damaged` and begun anew; while the disk is full, points wait in
memory, the oldest given up. One thread touches the file; a write is one transaction, at most one a minute. The log is
not synced at each commit (synchronous=NORMAL): a power cut may cost the last minutes, and never the file.

Space is bounded: rows older than their tier are deleted, and the file ends at `limits.FILE_SIZE`. Measured with 200
busy apps of one instance and one route: 116 MB after 30 days (0.6 MB an app), 5 ms of CPU a minute to write, 14 ms to
read a month of one app.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from minipaas.model.errors import MinipaasError
from minipaas.telemetry import limits
from minipaas.telemetry.history import AppHistory
from minipaas.telemetry.limits import TIERS, Tier
from minipaas.telemetry.points import AppPoint, Frame, HostPoint

log = logging.getLogger(__name__)

T = TypeVar("T")

VERSION = 1
"""Of the schema and of what stored points mean; a file of another version is set aside."""
HOST = ""
"""In the place of an app's name: the machine."""
_PAGE = 4096
_SCHEMA = f"""
CREATE TABLE point (
    tier INTEGER NOT NULL,  -- see limits.TIERS
    time INTEGER NOT NULL,  -- Unix seconds, a multiple of the tier's step: where the step begins
    app TEXT NOT NULL,      -- '' for the machine
    data BLOB NOT NULL,     -- AppPoint or HostPoint, MessagePack
    PRIMARY KEY (tier, time, app)
) WITHOUT ROWID;
CREATE TABLE history (
    app TEXT PRIMARY KEY,
    data BLOB NOT NULL      -- AppHistory, MessagePack
) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
_app_decoder = msgspec.msgpack.Decoder(AppPoint)
_host_decoder = msgspec.msgpack.Decoder(HostPoint)
_history_decoder = msgspec.msgpack.Decoder(AppHistory)
_encode = msgspec.msgpack.Encoder().encode
Row = tuple[int, int, str, bytes]


class Store:
    """Opened by its first use, so that making one costs nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._rows: deque[Row] = deque(maxlen=limits.PENDING_ROWS)
        self._histories: dict[str, bytes | None] = {}
        """To be written; None: to be deleted."""
        self._flushes = 0
        self._told = ""
        self._closed = False

    # -- putting in

    def add(self, tier: Tier, time: int, frame: Frame) -> None:
        """Points of one step, for the next flush."""
        for app, point in frame.apps.items():
            if len(point.instances) > limits.ENTRIES or len(point.routes) > limits.ENTRIES:
                point.instances, point.routes = point.instances[: limits.ENTRIES], point.routes[: limits.ENTRIES]
            self._rows.append((tier.number, time, app, _encode(point)))
        if frame.host is not None:
            self._rows.append((tier.number, time, HOST, _encode(frame.host)))

    def add_history(self, app: str, history: AppHistory | None) -> None:
        """How an app was, for the next flush; None forgets it."""
        self._histories[app] = None if history is None else _encode(history)

    async def flush(self, now: float) -> None:
        """Write what waits, and delete what is too old. Never fails."""
        if not self._closed:
            await self._run(lambda: self._flush(now))

    async def close(self, now: float) -> None:
        """Write what waits, and close the file; on a disk that hangs, neither."""
        if self._closed:
            return
        try:
            async with asyncio.timeout(limits.CLOSE):
                await self.flush(now)
                await self._run(self._drop)
        except TimeoutError:
            log.warning("cannot write %s: the disk does not answer", self._path)
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    # -- taking out

    async def frames(self, tier: Tier, since: float, until: float) -> list[tuple[int, Frame]]:
        """Whole frames of [since, until), in order; empty when the file cannot be read."""
        return await self._read(lambda db: list(_frames(db, tier, since, until)), [])

    async def newest(self, tier: Tier, until: float) -> int | None:
        """The newest step that has a point and does not begin after `until`."""

        def ask(db: sqlite3.Connection) -> int | None:
            sql = "SELECT max(time) FROM point WHERE tier = ? AND time <= ?"
            found: int | None = db.execute(sql, (tier.number, until)).fetchone()[0]
            return found

        return await self._read(ask, None)

    async def app(self, app: str, tier: Tier, since: int, until: int) -> dict[int, AppPoint]:
        """Points of one app, by time."""
        return await self._read(lambda db: _series(db, app, tier, since, until, _app_decoder), {})

    async def host(self, tier: Tier, since: int, until: int) -> dict[int, HostPoint]:
        """Points of the machine, by time."""
        return await self._read(lambda db: _series(db, HOST, tier, since, until, _host_decoder), {})

    async def histories(self) -> dict[str, AppHistory]:
        """How every app was."""

        def ask(db: sqlite3.Connection) -> dict[str, AppHistory]:
            return {app: _history_decoder.decode(data) for app, data in db.execute("SELECT app, data FROM history")}

        return await self._read(ask, {})

    # -- on the thread

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _read(self, ask: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """What waits is written first, so that it is seen."""
        if self._closed:
            return otherwise

        def work() -> T:
            self._flush(None)
            return self._safely("read", ask, otherwise)

        return await self._run(work)

    def _flush(self, now: float | None) -> None:
        rows = list(self._rows)
        histories = dict(self._histories)
        prune = now is not None and self._flushes % limits.PRUNE_EVERY == 0
        self._flushes += now is not None
        if not rows and not histories and not prune:
            return

        def write(db: sqlite3.Connection) -> bool:
            db.execute("BEGIN IMMEDIATE")
            if prune and now is not None:
                _prune(db, now)
            db.executemany("INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?)", rows)
            kept = [(app, data) for app, data in histories.items() if data is not None]
            db.executemany("INSERT OR REPLACE INTO history VALUES (?, ?)", kept)
            db.executemany("DELETE FROM history WHERE app = ?", [(app,) for app in histories if histories[app] is None])
            db.execute("COMMIT")
            return True

        if self._safely("write", write, False):
            for _ in rows:
                self._rows.popleft()
            for app, data in histories.items():
                if self._histories.get(app) == data:
                    del self._histories[app]

    def _safely(self, doing: str, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Do it; a file that is damaged, of another version or at its bound is begun anew, and it is done once more."""
        for attempt in (1, 2):
            try:
                db = self._db = self._db or _open(self._path)
                result = work(db)
                self._told = ""
                return result
            except (sqlite3.Error, msgspec.MsgspecError, OSError, _OtherVersion) as error:
                self._roll_back()
                self._tell(doing, error)
                if attempt == 2 or not self._hopeless(error):
                    return otherwise
                self._set_aside()
        return otherwise

    def _roll_back(self) -> None:
        if self._db is not None and self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def _hopeless(self, error: Exception) -> bool:
        """Whether this file will never do."""
        if isinstance(error, (msgspec.MsgspecError, _OtherVersion)):
            return True
        name = getattr(error, "sqlite_errorname", None) or ""
        if name == "SQLITE_FULL":
            # Not the disk, but our own bound.
            return self._path.stat().st_size >= limits.FILE_SIZE - 64 * _PAGE
        # "no such table" is a plain SQLITE_ERROR: our statements are right, so the file is not ours
        return name.startswith("SQLITE_CORRUPT") or name in ("SQLITE_NOTADB", "SQLITE_ERROR")

    def _set_aside(self) -> None:
        self._drop()
        with contextlib.suppress(OSError):
            for ending in ("-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
            self._path.replace(self._path.with_name(f"{self._path.name}.damaged"))

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _tell(self, doing: str, error: Exception) -> None:
        said = f"cannot {doing} {self._path}: {error}"
        if said != self._told:
            self._told = said
            log.warning("%s (metrics only; the box goes on)", said)


class _OtherVersion(MinipaasError):
    """The file was made by another version of minipaas."""


def _open(path: Path) -> sqlite3.Connection:
    """An open file of this version. Raises sqlite3.Error, OSError, _OtherVersion."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA wal_autocheckpoint = 500")
        db.execute("PRAGMA cache_size = -512")  # KiB; a box has better use for memory
        db.execute("PRAGMA journal_size_limit = 4194304")
        db.execute(f"PRAGMA max_page_count = {limits.FILE_SIZE // _PAGE}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if not tables:
            db.executescript(_SCHEMA)
        elif version != VERSION:
            raise _OtherVersion(f"it is version {version}, this minipaas keeps {VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def _prune(db: sqlite3.Connection, now: float) -> None:
    for tier in TIERS:
        db.execute("DELETE FROM point WHERE tier = ? AND time < ?", (tier.number, int(now) - tier.keep))


def _frames(db: sqlite3.Connection, tier: Tier, since: float, until: float) -> Iterator[tuple[int, Frame]]:
    sql = "SELECT time, app, data FROM point WHERE tier = ? AND time >= ? AND time < ? ORDER BY time"
    current: int | None = None
    frame = Frame({})
    for time, app, data in db.execute(sql, (tier.number, since, until)):
        if time != current:
            if current is not None:
                yield current, frame
            current, frame = time, Frame({})
        if app == HOST:
            frame.host = _host_decoder.decode(data)
        else:
            frame.apps[app] = _app_decoder.decode(data)
    if current is not None:
        yield current, frame


def _series(
    db: sqlite3.Connection, app: str, tier: Tier, since: int, until: int, decoder: msgspec.msgpack.Decoder[T]
) -> dict[int, T]:
    """One look-up a step: rows are sorted by time first, and a scan would read every app's."""
    sql = """
        WITH RECURSIVE step(at) AS (SELECT :since UNION ALL SELECT at + :step FROM step WHERE at + :step < :until)
        SELECT point.time, point.data FROM step JOIN point
            ON point.tier = :tier AND point.time = step.at AND point.app = :app
    """
    names = {"since": since, "until": until, "step": tier.step, "tier": tier.number, "app": app}
    return {time: decoder.decode(data) for time, data in db.execute(sql, names)}
