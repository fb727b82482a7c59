"""The segments of one app: `logs/APP/000001.db` and so on. The newest is written, the oldest is given up first.

What always holds: an app's segments need no more than its quota (beyond it is what its newest segment may need by
then, an eighth); a file that cannot be used is set aside and reading goes on from Podman's files.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from minipaas.model.logs import Source
from minipaas.telemetry import limits
from minipaas.telemetry.logs.segment import Piece, Position, Reader, Unusable, Writer, delete, size_of

log = logging.getLogger(__name__)


class Shelf:
    """For the thread that writes. `quota`: bytes on disk. `dropping` hears of each segment before it is given up."""

    def __init__(self, directory: Path, quota: int, dropping: Callable[[Path], None] = lambda path: None) -> None:
        self.directory = directory
        self._dropping = dropping
        self.app = directory.name
        self._quota = quota
        self._largest = max(limits.LOG_SEGMENT_LEAST, quota // limits.LOG_SEGMENTS)
        self._writer: Writer | None = None

    @property
    def open(self) -> bool:
        return self._writer is not None

    def positions(self) -> dict[str, Position]:
        """By container, of all that were written to last."""
        if not self.directory.is_dir():
            return {}
        return self._usable().positions()

    def add(self, pieces: list[Piece], positions: list[tuple[Source, Position]]) -> None:
        """Keep them. Raises sqlite3.Error and OSError; then nothing is kept."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        writer = self._usable()
        try:
            writer.add(pieces, positions)
        except sqlite3.DatabaseError as error:
            if _damaged(error):
                self._set_aside(writer.path, error)
            raise
        if writer.size >= self._largest:
            self._begin_next(writer)

    def close(self) -> None:
        """Until it is needed again."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(sqlite3.Error):
                writer.close()

    def prune(self, oldest: int) -> None:
        """Give up segments beyond the quota, and those whose last line is older than `oldest` (nanoseconds)."""
        paths = segments(self.directory)
        total = sum(map(size_of, paths))
        for path in paths[:-1]:
            if total <= self._quota and not _older(path, self.app, oldest):
                break
            total -= size_of(path)
            self._dropping(path)
            delete(path)
        if len(paths) == 1 and self._writer is None and _older(paths[0], self.app, oldest):
            self._dropping(paths[0])
            delete(paths[0])
            with contextlib.suppress(OSError):
                self.directory.rmdir()

    def _usable(self) -> Writer:
        if self._writer is None:
            paths = segments(self.directory)
            path = paths[-1] if paths else self.directory / "000001.db"
            try:
                self._writer = Writer(path)
            except (sqlite3.DatabaseError, Unusable) as error:
                if not isinstance(error, Unusable) and not _damaged(error):
                    raise
                self._set_aside(path, error)
                self._writer = Writer(_next(path))
        return self._writer

    def _begin_next(self, full: Writer) -> None:
        """Another segment, which knows from its beginning how far everything was read."""
        positions = full.positions()
        sources = {source.container: source for source in _sources(full.path, self.app)}
        following = Writer(_next(full.path))
        try:
            known = [(sources[container], position) for container, position in positions.items()]
            following.add([], sorted(known, key=lambda one: one[1].last)[-limits.LOG_POSITIONS :])
        except BaseException:
            following.close()
            delete(following.path)
            raise
        self._writer = following
        with contextlib.suppress(sqlite3.Error):
            full.seal()
        self.prune(0)

    def _set_aside(self, path: Path, error: Exception) -> None:
        log.warning("cannot use %s: %s; it is set aside as %s.damaged", path, error, path.name)
        self.close()
        with contextlib.suppress(OSError):
            for other in self.directory.glob("*.damaged"):
                other.unlink()
            path.replace(path.with_name(f"{path.name}.damaged"))
            delete(path)


def segments(directory: Path) -> list[Path]:
    """The oldest first."""
    return sorted(one for one in directory.glob("[0-9]*.db") if one.stem.isdigit())


def readers(directory: Path, *, oldest_first: bool = False) -> Iterator[Reader]:
    """Every segment that can be read, the newest first. One that is given up meanwhile is left out."""
    paths = segments(directory)
    for path in paths if oldest_first else reversed(paths):
        try:
            with Reader(path, directory.name) as reader:
                yield reader
        except (sqlite3.Error, Unusable) as error:
            if path.exists():
                log.warning("cannot read %s: %s", path, error)


def _next(path: Path) -> Path:
    return path.with_name(f"{int(path.stem) + 1:06d}.db")


def _sources(path: Path, app: str) -> list[Source]:
    with Reader(path, app) as reader:
        return list(reader.sources().values())


def _older(path: Path, app: str, oldest: int) -> bool:
    try:
        with Reader(path, app) as reader:
            return reader.span()[1] < oldest
    except (sqlite3.Error, Unusable):
        return True


def _damaged(error: Exception) -> bool:
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith("SQLITE_CORRUPT") or name in ("SQLITE_NOTADB", "SQLITE_ERROR")
