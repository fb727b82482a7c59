"""One file of an app's log: blocks of lines, compressed, an index of their words, and how far each container was read.

What always holds: lines and the positions behind them are one transaction, so after a crash what is not here is read
from Podman's file again, and nothing twice. A segment is written by one thread; others read it over connections of
their own. When it is full it is sealed: one file without a journal that is never written again.

Blocks, not lines, are rows: measured with lines of 100 bytes, 285,000 lines a second on one core and 0.6 times the
text on disk, of which the index is a third (FTS5, detail=none, contentless). The index says which blocks to open.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import zstandard
from msgspec import Struct

from minipaas.model.errors import MinipaasError
from minipaas.model.logs import Source
from minipaas.telemetry import limits
from minipaas.telemetry.logs.lines import span, words

VERSION = 1
_SCHEMA = f"""
BEGIN;
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    container TEXT NOT NULL UNIQUE,
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    release TEXT NOT NULL
) STRICT;
-- Lines of one container. at and ends: bytes of its log; first and last: nanoseconds since 1970.
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source,
    at INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL
) STRICT;
CREATE INDEX block_last ON block (last);
CREATE INDEX block_source ON block (source, at);
-- Apart from the block, so that looking for blocks does not read what they hold.
CREATE TABLE content (block INTEGER PRIMARY KEY REFERENCES block, data BLOB NOT NULL) STRICT;
-- Where to go on reading a container's file (see tail.py).
CREATE TABLE position (
    source INTEGER PRIMARY KEY REFERENCES source,
    head BLOB NOT NULL,
    base INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    last INTEGER NOT NULL
) STRICT;
CREATE VIRTUAL TABLE word USING fts5 (text, content='', detail=none, columnsize=0, tokenize='ascii');
PRAGMA user_version = {VERSION};
COMMIT;
"""


class Position(Struct, frozen=True):
    """How far a container's log was read. `head`: how the file begins, which tells it from the one before and after
    it; `base`: bytes of the files before it; `offset`: bytes of it; `last`: time of the last line."""

    head: bytes = b""
    base: int = 0
    offset: int = 0
    last: int = 0

    @property
    def end(self) -> int:
        return self.base + self.offset


class Piece(Struct, frozen=True):
    """Lines to be kept. `data` is as Podman's file has it."""

    source: Source
    at: int
    ends: int
    data: bytes
    now: int


class Block(Struct, frozen=True):
    """Kept lines, still compressed where they are."""

    id: int
    source: Source
    at: int
    ends: int
    first: int
    last: int


class Unusable(MinipaasError):
    """The file is not a segment of this version."""


class Writer:
    """The open segment of an app. Raises sqlite3.Error, OSError and Unusable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._db = sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False)
        try:
            for setting in (
                "journal_mode = WAL",
                "synchronous = NORMAL",
                "cache_size = -512",
                "wal_autocheckpoint = 1000",
                "journal_size_limit = 4194304",
            ):
                self._db.execute(f"PRAGMA {setting}")
            if not self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                self._db.executescript(_SCHEMA)
            _check(self._db, path)
            self._sources: dict[str, int] = dict(self._db.execute("SELECT container, id FROM source"))
        except BaseException:
            self._db.close()
            raise
        self._compressor = zstandard.ZstdCompressor(level=1)

    def positions(self) -> dict[str, Position]:
        """By container."""
        sql = "SELECT container, head, base, offset, position.last FROM position JOIN source ON source.id = source"
        return {container: Position(*rest) for container, *rest in self._db.execute(sql)}

    def add(self, pieces: Iterable[Piece], positions: Iterable[tuple[Source, Position]]) -> None:
        """In one transaction: all of it, or nothing."""
        ready = [(piece, self._compressor.compress(piece.data), words(piece.data, piece.source)) for piece in pieces]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for piece, data, text in ready:
                first, last = span(piece.data, piece.now)
                row = (self._source(piece.source), piece.at, piece.ends, first, last)
                sql = "INSERT INTO block (source, at, ends, first, last) VALUES (?, ?, ?, ?, ?)"
                block = self._db.execute(sql, row).lastrowid
                self._db.execute("INSERT INTO content VALUES (?, ?)", (block, data))
                self._db.execute("INSERT INTO word (rowid, text) VALUES (?, ?)", (block, text))
            for source, at in positions:
                row_of = (self._source(source), at.head, at.base, at.offset, at.last)
                self._db.execute("INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?, ?)", row_of)
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            self._sources = {}
            raise

    def _source(self, source: Source) -> int:
        known = self._sources.get(source.container)
        if known is None:
            row = (source.container, source.service, source.instance, source.release)
            sql = "INSERT OR IGNORE INTO source (container, service, instance, release) VALUES (?, ?, ?, ?)"
            self._db.execute(sql, row)
            sql = "SELECT id FROM source WHERE container = ?"
            known = self._sources[source.container] = int(self._db.execute(sql, (source.container,)).fetchone()[0])
        return known

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return size_of(self.path)

    def seal(self) -> None:
        """Nothing more will be written."""
        try:
            self._db.execute("INSERT INTO word (word) VALUES ('optimize')")
            self._db.execute("PRAGMA journal_mode = DELETE")  # fails while somebody reads; then it stays as it is
        finally:
            self._db.close()

    def close(self) -> None:
        """It may be opened again."""
        self._db.close()


class Reader:
    """Looks into a segment, also while it is written. `with` closes it. Raises sqlite3.Error and Unusable."""

    def __init__(self, path: Path, app: str) -> None:
        self._app = app
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0, isolation_level=None)
        self._decompressor = zstandard.ZstdDecompressor()
        try:
            self._db.execute("PRAGMA cache_size = -512")
            _check(self._db, path)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def sources(self) -> dict[int, Source]:
        """Every container that has lines or a position here."""
        return {
            row: Source(container=container, app=self._app, service=service, instance=instance, release=release)
            for row, container, service, instance, release in self._db.execute(
                "SELECT id, container, service, instance, release FROM source"
            )
        }

    def blocks(self, sources: dict[int, Source], match: str, since: int, until: int) -> Iterator[Block]:
        """Those of these sources that may have such words and times, the latest first."""
        looked_up = "AND block.id IN (SELECT rowid FROM word WHERE word MATCH :match)" if match else ""
        sql = f"""
            SELECT id, source, at, ends, first, last FROM block
            WHERE last >= :since AND first < :until {looked_up} ORDER BY last DESC, id DESC
        """  # noqa: S608 - one of two texts
        for number, source, *rest in self._db.execute(sql, {"match": match, "since": since, "until": until}):
            if source in sources:
                yield Block(number, sources[source], *rest)

    def after(self, source: int, whose: Source, at: int) -> Iterator[Block]:
        """The blocks of a source that end behind this place, in order."""
        sql = "SELECT id, at, ends, first, last FROM block WHERE source = ? AND ends > ? ORDER BY at"
        for number, *rest in self._db.execute(sql, (source, at)):
            yield Block(number, whose, *rest)

    def added(self, behind: int) -> Iterator[Block]:
        """The blocks that were added behind that one, in order."""
        sql = """
            SELECT block.id, container, service, instance, release, at, ends, first, last
            FROM block JOIN source ON source.id = source WHERE block.id > ? ORDER BY block.id
        """
        for number, container, service, instance, release, *rest in self._db.execute(sql, (behind,)):
            source = Source(container=container, app=self._app, service=service, instance=instance, release=release)
            yield Block(number, source, *rest)

    def data(self, block: Block) -> bytes:
        """What it holds."""
        row = self._db.execute("SELECT data FROM content WHERE block = ?", (block.id,)).fetchone()
        return self._decompressor.decompress(row[0], max_output_size=4 * limits.LOG_LINE)

    def span(self) -> tuple[int, int]:
        """Times of the first line and of the last; (0, 0) when there is none."""
        first, last = self._db.execute("SELECT min(first), max(last) FROM block").fetchone()
        return first or 0, last or 0


def size_of(path: Path) -> int:
    """Bytes on disk, of the file and its journal."""
    total = 0
    for one in (path, path.with_name(path.name + "-wal")):
        with contextlib.suppress(OSError):
            total += one.stat().st_size
    return total


def delete(path: Path) -> None:
    """The file and what belongs to it."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _check(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        raise Unusable(f"{path} is version {version}, this minipaas keeps {VERSION}")
