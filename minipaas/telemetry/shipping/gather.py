"""From the log store into batches: what a destination has not got, of each container in order.

Stored blocks come first, then what is only in Podman's file yet. What always holds: nothing is passed over without
being taken or counted as lost. For one thread, beside which another one writes the store; `dropping` is for that one.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import zstandard
from msgspec import Struct

from minipaas.model.logs import Line, Stream
from minipaas.model.shipping import ShipConfig
from minipaas.telemetry import limits
from minipaas.telemetry.logs.intake import Intake
from minipaas.telemetry.logs.level import at_least, level_of
from minipaas.telemetry.logs.lines import SECOND, read
from minipaas.telemetry.logs.segment import Block, Reader, Unusable
from minipaas.telemetry.logs.shelf import readers, segments
from minipaas.telemetry.logs.tail import Tail
from minipaas.telemetry.shipping.cursor import Cursor, Key, Move
from minipaas.telemetry.shipping.origin import gently

log = logging.getLogger(__name__)


class Batch(Struct):
    """Lines to be sent together, and how far they bring their destination."""

    move: Move = {}
    lines: list[Line] = []
    size: int = 0
    """Bytes of the log that they are."""
    more: set[str] = set()
    """Apps that have more than that."""
    refused: int = 0
    """Of these lines; known once they were sent."""
    first: float | None = None
    """When the oldest was written, Unix seconds."""

    @property
    def newest(self) -> float | None:
        """When the newest was written, Unix seconds."""
        return max(line.time for line in self.lines) / SECOND if self.lines else None


class Gatherer:
    """Of one destination. `chew` is called between two pieces of work, so that others get their turn."""

    def __init__(self, intake: Intake, cursor: Cursor, config: ShipConfig, chew: Callable[[], None]) -> None:
        self._intake = intake
        self._cursor = cursor
        self._config = config
        self._chew = chew
        self._levels = at_least(config.level) if config.level is not None else None
        self._passed: dict[str, tuple[int, int]] = {}
        """By app: the segment and its block up to which all is taken. Only to save time; the cursor knows."""
        self._shrunk: set[str] = set()
        self._dropped: Move = {}
        """What lies before is in the store no more."""

    def apps(self) -> list[str]:
        """All of which there is something, and that are wanted."""
        found = {tail.source.app for tail in self._intake.tails.values()}
        if self._intake.directory.is_dir():
            found |= {one.name for one in self._intake.directory.iterdir() if one.is_dir()}
        return sorted(app for app in found if not self._config.apps or app in self._config.apps)

    def skip(self) -> None:
        """Begin behind all that is there."""
        for app in self.apps():
            for reader in readers(self._intake.directory / app, oldest_first=True):
                for block in reader.added(0):
                    key = (app, block.source.container)
                    self._cursor.put(key, max(block.ends, self._cursor.at(key) or 0))
            for tail in self._tails(app):
                key = (app, tail.source.container)
                _, _, end, _ = tail.fresh(self._cursor.at(key) or 0, limits.LOG_BACKLOG)
                self._cursor.put(key, max(end, self._cursor.at(key) or 0))

    def take(self, apps: Sequence[str]) -> Batch:
        """The next batch of these apps; each gets its share."""
        batch = Batch()
        most = int(self._config.batch)
        share = most if len(apps) == 1 else min(most, limits.SHIP_SHARE)
        for app in apps:
            if app in self._shrunk:
                self._shrunk.discard(app)
                self._forget_gone(app)
            if self._full(batch, most) or not self._take(app, batch, min(most, batch.size + share)):
                batch.more.add(app)
        return batch

    def back(self) -> set[str]:
        """What was taken and not confirmed is taken again. Returns the apps that have such."""
        apps = self._cursor.back()
        for app in apps:
            self._passed.pop(app, None)
        return apps

    def behind(self) -> tuple[int, float | None]:
        """What was not taken yet: bytes, and when the oldest of it was written."""
        total, oldest = 0, None
        for app in self.apps():
            for number, reader in self._readers(app):
                for block in reader.added(self._behind(app, number)):
                    left = block.ends - max(block.at, self._cursor.at((app, block.source.container)) or 0)
                    if left > 0:
                        total += min(left, limits.LOG_LINE)
                        oldest = min(block.first, oldest or block.first)
            for tail in self._tails(app):
                at = max(self._cursor.at((app, tail.source.container)) or 0, tail.position.end)
                _, lines, end, written = tail.fresh(at, 4096)
                total += max(0, written - at)
                if lines and end > at:
                    oldest = min(lines[0].time, oldest or lines[0].time)
        return total, oldest / SECOND if oldest is not None else None

    def dropping(self, path: Path) -> None:
        """This segment is about to be deleted: what was not taken of it is lost."""
        app = path.parent.name
        if self._config.apps and app not in self._config.apps:
            return
        lines = size = 0
        try:
            with Reader(path, app) as reader:
                for block in reader.added(0):
                    key = (app, block.source.container)
                    at = self._cursor.at(key) or 0
                    self._dropped[key] = block.ends
                    if block.ends > at:
                        gone = self._lines(reader, block, at)
                        lines += len(gone)
                        size += block.ends - max(block.at, at)
                        self._cursor.lose(key, block.ends, len(gone), block.ends - max(block.at, at), time.time())
        except (sqlite3.Error, Unusable, zstandard.ZstdError) as error:
            log.warning("cannot count what is lost with %s: %s", path, error)
        self._shrunk.add(app)
        if lines:
            log.warning(
                "%d lines of %s (%d bytes) made way before they were sent to %s", lines, app, size, self._config.name
            )

    def abandon(self, lines: Iterable[Line]) -> None:
        """These were taken and will not be sent by this process: those that are only here are lost."""
        gone: dict[Key, list[Line]] = {}
        for line in lines:
            key = (line.source.app, line.source.container)
            if line.at < self._dropped.get(key, 0):
                gone.setdefault(key, []).append(line)
        for key, of in gone.items():
            size = sum(len(line.text) for line in of)
            self._cursor.lose(key, self._dropped[key], len(of), size, time.time())

    # -- one app

    def _take(self, app: str, batch: Batch, most: int) -> bool:
        """False: there is more of it."""
        if not self._from_segments(app, batch, most):
            return False
        return all(self._from_tail(app, tail, batch, most) for tail in self._tails(app))

    def _from_segments(self, app: str, batch: Batch, most: int) -> bool:
        for number, reader in self._readers(app):
            for block in reader.added(self._behind(app, number)):
                if self._full(batch, most):
                    return False
                self._take_block(app, reader, block, batch)
                self._passed[app] = (number, block.id)
        return True

    def _take_block(self, app: str, reader: Reader, block: Block, batch: Batch) -> None:
        key = (app, block.source.container)
        known = self._cursor.at(key)
        at = known or 0
        if block.ends <= at:
            return
        if known is not None and block.at > at:
            self._missing(key, at, block.at)
        try:
            lines = self._lines(reader, block, at)
        except zstandard.ZstdError:
            self._missing(key, max(at, block.at), block.ends)
            return
        self._cursor.take(batch.move, key, block.ends)
        self._add(batch, lines, block.ends - max(at, block.at))

    def _from_tail(self, app: str, tail: Tail, batch: Batch, most: int) -> bool:
        key = (app, tail.source.container)
        stored = False
        while True:
            known = self._cursor.at(key)
            at = known or 0
            begins, lines, end, written = tail.fresh(at, max(4096, min(limits.LOG_BLOCK, most - batch.size)))
            if at > written:
                log.warning("the end of the log of %s is gone: some lines are sent twice", tail.source.instance)
                self._cursor.put(key, begins)
            elif at < begins and not stored:
                stored = True  # since we looked: there it is now
                if not self._from_segments(app, batch, most):
                    return False
            elif at < begins:
                if known is not None:
                    self._missing(key, at, begins)
                else:
                    self._cursor.take(batch.move, key, begins)  # from before all that is kept
            elif end <= at:
                return True
            else:
                self._cursor.take(batch.move, key, end)
                self._add(batch, lines, end - at)
                if self._full(batch, most):
                    return False

    def _add(self, batch: Batch, lines: Iterable[Line], size: int) -> None:
        batch.lines += filter(self._wanted, lines) if self._levels is not None else lines
        batch.size += min(size, limits.LOG_LINE)
        if batch.lines and batch.first is None:
            batch.first = batch.lines[0].time / SECOND
        self._chew()

    def _wanted(self, line: Line) -> bool:
        assert self._levels is not None  # noqa: S101
        return line.stream is Stream.MINIPAAS or level_of(line.text) in self._levels

    def _lines(self, reader: Reader, block: Block, at: int) -> list[Line]:
        """From there on; and what minipaas remarks on lines that it did not keep, some of which may have been taken."""
        lines = gently(read(reader.data(block), block.at, block.source))
        return [line for line in lines if line.at >= at or line.stream is Stream.MINIPAAS]

    def _missing(self, key: Key, at: int, ends: int) -> None:
        log.warning("%d bytes of the log of %s are missing for %s", ends - at, key[0], self._config.name)
        self._cursor.lose(key, ends, 0, ends - at, time.time())

    def _full(self, batch: Batch, most: int) -> bool:
        return batch.size >= most or len(batch.lines) >= limits.SHIP_LINES

    # -- where to look

    def _readers(self, app: str) -> Iterable[tuple[int, Reader]]:
        """Of the segments in which there may be something new."""
        paths = segments(self._intake.directory / app)
        if paths and int(paths[-1].stem) < self._passed.get(app, (0, 0))[0]:
            del self._passed[app]  # another one was damaged, or all were deleted
        for path in paths:
            number = int(path.stem)
            if number < self._passed.get(app, (0, 0))[0]:
                continue
            try:
                with Reader(path, app) as reader:
                    yield number, reader
            except (sqlite3.Error, Unusable) as error:
                if path.exists():
                    log.warning("cannot read %s: %s", path, error)

    def _behind(self, app: str, number: int) -> int:
        passed = self._passed.get(app, (0, 0))
        return passed[1] if passed[0] == number else 0

    def _tails(self, app: str) -> list[Tail]:
        return [tail for tail in self._intake.tails.values() if tail.source.app == app]

    def _forget_gone(self, app: str) -> None:
        """Some segment of it is gone, and maybe with it the last lines of some container."""
        self._passed.pop(app, None)
        there = {tail.source.container for tail in self._tails(app)}
        for reader in readers(self._intake.directory / app):
            there |= {source.container for source in reader.sources().values()}
        self._cursor.keep(app, there)
        self._dropped = {key: end for key, end in self._dropped.items() if key[0] != app or key[1] in there}
