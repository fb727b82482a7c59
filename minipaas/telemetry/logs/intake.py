"""From Podman's files into segments: one round looks at every file and stores what is due.

Due is what fills a block, what has waited for `limits.LOG_AGE`, and what a container that is gone has left. The rest
stays where it is safe, in Podman's file, and is read from there by whoever looks at it.

All of it runs on one thread, in small pieces: reading, compressing and SQLite leave the interpreter to the event loop.
An instance that writes more than it may is read, but not kept: what lies beyond is counted and said.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from minipaas.model.logs import Source
from minipaas.model.units import Size
from minipaas.telemetry import limits
from minipaas.telemetry.logs.segment import Piece, Position, delete, size_of
from minipaas.telemetry.logs.shelf import Shelf, segments
from minipaas.telemetry.logs.tail import Tail

log = logging.getLogger(__name__)


class Bounds(Struct, frozen=True):
    """What an app may keep (bytes on disk, seconds), and an instance write (bytes a second; 0: any)."""

    quota: int
    keep: float
    rate: int


class Round(Struct):
    """What one round has seen."""

    grown: set[str] = set()
    """Apps that have new lines."""
    stored: int = 0
    """Bytes."""


class Intake:
    """For one thread. `clock`: nanoseconds since 1970; `tick`: monotonic seconds."""

    def __init__(
        self,
        directory: Path,
        bounds: Bounds,
        clock: Callable[[], int] = time.time_ns,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = directory
        self.tails: dict[str, Tail] = {}
        """By container. Others may read it."""
        self.gone: dict[str, deque[str]] = {}
        """By app, containers whose last line was stored lately. Others may read it."""
        self.dropping: Callable[[Path], None] = lambda path: None
        """Hears of each segment before it is given up, on this thread."""
        self._bounds = bounds
        self._clock = clock
        self._tick = tick
        self._shelves: dict[str, Shelf] = {}
        self._pruned: float | None = None
        self._told = ""

    def follow(self, wanted: dict[str, tuple[Source, str]]) -> None:
        """These containers are there, with the paths of their logs; others that were are gone."""
        for container, (source, path) in wanted.items():
            if container not in self.tails:
                try:
                    position = self._shelf(source.app).positions().get(container)
                except (sqlite3.Error, OSError) as error:
                    self._tell(source.app, error)
                    continue
                self.tails = {
                    **self.tails,
                    container: Tail(source, path, position, self._bounds.rate, self._clock),
                }
        for container, tail in self.tails.items():
            tail.ending = container not in wanted

    def round(self, *, force: bool = False) -> Round:
        """Look at every file, and store what is due; with `force` everything."""
        seen = Round()
        now = self._tick()
        by_app: dict[str, list[Tail]] = {}
        for tail in self.tails.values():
            before = tail.position.base + tail.size
            try:
                if tail.look() and tail.position.base + tail.size != before:
                    seen.grown.add(tail.source.app)
            except OSError as error:
                self._tell(tail.source.app, error)
                continue
            by_app.setdefault(tail.source.app, []).append(tail)
        for app, tails in by_app.items():
            try:
                while stored := self._store(app, tails, now, force):
                    seen.stored += stored
                    seen.grown.add(app)  # also of what was only whole now, because its container is gone
            except (sqlite3.Error, OSError) as error:
                self._tell(app, error)
                self._make_room()
        self._drop_ended()
        self._close_shelves()
        if self._pruned is None or now - self._pruned >= limits.LOG_PRUNE:
            self._pruned = now
            self._prune()
        return seen

    def close(self) -> None:
        """Store everything, and let go."""
        self.round(force=True)
        for tail in self.tails.values():
            tail.close()
        for shelf in self._shelves.values():
            shelf.close()
        self.tails, self._shelves = {}, {}

    # -- one app

    def _store(self, app: str, tails: list[Tail], now: float, force: bool) -> int:
        """One transaction of what is due; bytes."""
        pieces: list[Piece] = []
        positions: list[tuple[Source, Position]] = []
        taken: list[tuple[Tail, list[Piece]]] = []
        for tail in tails:
            if len(pieces) >= limits.LOG_BATCH:
                break
            found = self._due(tail, now, force)
            if found:
                pieces += found
                positions.append((tail.source, tail.after(found)))
                taken.append((tail, found))
            elif tail.replaced and not tail.backlog and tail.next_file():
                positions.append((tail.source, tail.position))
        if not positions:
            return 0
        self._shelf(app).add(pieces, positions)
        for tail, found in taken:
            tail.stored(found)
            tail.allowance.take(found[-1].ends - found[-1].at)
        self._told = ""
        return sum(piece.ends - piece.at for piece in pieces) or 1

    def _due(self, tail: Tail, now: float, force: bool) -> list[Piece]:
        backlog = tail.backlog
        if not backlog:
            tail.behind_since = None
            return []
        if tail.behind_since is None:
            tail.behind_since = now
        over = tail.ending or tail.replaced
        if not (force or over or backlog >= limits.LOG_BLOCK or now - tail.behind_since >= limits.LOG_AGE):
            return []
        allowed = tail.allowance.left(now)
        if allowed < min(backlog, limits.LOG_BLOCK) and not force:
            if backlog < limits.LOG_BACKLOG and not over:
                return []
            rate = Size(self._bounds.rate)
            left_out = tail.skip(f"{tail.source.service} writes more than {int(rate) // 1024} KiB a second")
            return [left_out] if left_out is not None else []
        return tail.take(min(backlog, limits.LOG_BLOCK), whole=over)

    def _drop_ended(self) -> None:
        gone = [key for key, tail in self.tails.items() if tail.ending and not tail.backlog and not self._more(tail)]
        if gone:
            for key in gone:
                tail = self.tails[key]
                tail.close()
                self.gone.setdefault(tail.source.app, deque(maxlen=limits.LOG_GONE)).append(key)
            self.tails = {key: tail for key, tail in self.tails.items() if key not in gone}

    @staticmethod
    def _more(tail: Tail) -> bool:
        return tail.replaced and tail.next_file()

    def _shelf(self, app: str) -> Shelf:
        shelf = self._shelves.pop(app, None) or Shelf(self.directory / app, self._bounds.quota, self.dropping)
        self._shelves[app] = shelf  # the one used last is the last
        return shelf

    def _close_shelves(self) -> None:
        opened = [shelf for shelf in self._shelves.values() if shelf.open]
        for shelf in opened[: -limits.LOG_WRITERS]:
            shelf.close()

    # -- room

    def _prune(self) -> None:
        oldest = self._clock() - int(self._bounds.keep * 1e9)
        try:
            for directory in self._apps():
                self._shelf(directory.name).prune(oldest)
            if self._apps() and shutil.disk_usage(self.directory).free < limits.LOG_LOW_DISK:
                self._make_room()
        except (sqlite3.Error, OSError) as error:
            log.warning("cannot clear up old logs: %s", error)

    def _make_room(self) -> None:
        """While the disk is full: give up the oldest segment of the app that keeps most; never one that is written."""
        keeping: list[tuple[int, Path]] = []
        for directory in self._apps():
            old = segments(directory)[:-1]
            if old:
                keeping.append((sum(map(size_of, old)), old[0]))
        if keeping and shutil.disk_usage(self.directory).free < limits.LOG_LOW_DISK:
            path = max(keeping)[1]
            log.warning("the disk is nearly full: the oldest lines of %s are given up", path.parent.name)
            self.dropping(path)
            delete(path)

    def _apps(self) -> list[Path]:
        return [one for one in self.directory.iterdir() if one.is_dir()] if self.directory.is_dir() else []

    def _tell(self, app: str, error: Exception) -> None:
        said = f"cannot keep the log of {app}: {error}"
        if said != self._told:
            self._told = said
            log.warning("%s (its lines stay with Podman until they can be stored)", said)
