"""One container's log file, read from where reading had stopped.

conmon appends to the file; when it is full, it puts a new one in its place and goes on there (the old one is gone for
whoever has not opened it). So the file is kept open: what it holds can be read to its end also after it was replaced or
the container removed, and only then the next one is opened.

A file is known again by how it begins: a time with nanoseconds. Its inode would not do, as another file may get it.
What always holds: nothing is read twice, and what could not be read is said in its place.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

from minipaas.model.logs import Line, Source
from minipaas.telemetry import limits
from minipaas.telemetry.logs.allowance import Allowance
from minipaas.telemetry.logs.lines import cut, read, remark, span, time_of
from minipaas.telemetry.logs.segment import Piece, Position

HEAD = 64
"""Bytes by which a file is known."""
ROTATED = "the log was rotated while minipaas did not run: lines are missing here"


class Tail:
    """Read by one thread; `pending` may be asked by others. `now`: nanoseconds since 1970."""

    def __init__(self, source: Source, path: str, position: Position | None, rate: int, now: Callable[[], int]) -> None:
        self.source = source
        self.path = path
        self.allowance = Allowance(rate)
        self.ending = False
        """The container is gone: what is left is taken now."""
        self.behind_since: float | None = None
        """Since when there is something that is not stored; monotonic."""
        self.size = 0
        """Of the file, as last looked at."""
        self._now = now
        self._known = position
        self._position = position or Position()
        self._file: int | None = None
        self._lock = threading.Lock()
        self._remarks: list[Piece] = []

    @property
    def position(self) -> Position:
        """Up to where lines were stored."""
        return self._position

    @property
    def backlog(self) -> int:
        """Bytes that are not stored yet."""
        return max(0, self.size - self._position.offset) if self._file is not None else 0

    def look(self) -> bool:
        """See how large the file is. False: it is not there."""
        if self._file is None and not self._open():
            return False
        assert self._file is not None  # noqa: S101
        status = os.fstat(self._file)
        if self._position.offset > status.st_size:
            self._shrunk(status.st_size)
        self.size = status.st_size
        return True

    @property
    def replaced(self) -> bool:
        """Whether nothing more will be written to the open file."""
        return self._file is not None and os.fstat(self._file).st_nlink == 0

    def close(self) -> None:
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                os.close(file)

    def next_file(self) -> bool:
        """The open file is read to its end: go on with the one in its place. False: there is none."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file = None
            self._position = Position(base=self._position.end, last=self._position.last)
            self._known = None
        if not self.look():
            return False
        self._position = Position(self._read(0, HEAD), self._position.base, 0, self._position.last)
        return True

    # -- taking

    def take(self, most: int, *, whole: bool) -> list[Piece]:
        """At most one block and the remarks before it, not stored yet: `stored` says that they are. `whole`: also
        lines that have no end, because there will be none."""
        remarks, at = self._remarks[:], self._position.offset
        size = min(most, self.size - at)
        data = self._read(at, size)
        length = cut(data)
        while not length and len(data) == size and size < min(self.size - at, limits.LOG_LINE):
            size = min(2 * size, self.size - at, limits.LOG_LINE)
            data = self._read(at, size)
            length = cut(data)
        if not length and (whole or len(data) >= limits.LOG_LINE):
            length = data.rfind(b"\n") + 1 or len(data)
        if not length:
            return remarks
        base = self._position.base
        return [*remarks, Piece(self.source, base + at, base + at + length, data[:length], self._now())]

    def skip(self, why: str) -> Piece | None:
        """Leave out the whole lines of the backlog, and say how many; None: there is none."""
        at, end, lines, last_end = self._position.offset, self.size, 0, 0
        while at < end:
            data = self._read(at, min(limits.LOG_LINE, end - at))
            if not data:
                break
            lines += data.count(b"\n")
            if b"\n" in data:
                last_end = at + data.rfind(b"\n") + 1
            at += len(data)
        if not last_end:
            return None
        lost = last_end - self._position.offset
        base, now = self._position.base, self._now()
        text = f"dropped {lines} lines ({lost} bytes) here: {why}"
        return Piece(self.source, base + self._position.offset, base + last_end, remark(now, text), now)

    def stored(self, pieces: list[Piece]) -> None:
        """These were stored."""
        self._position = self.after(pieces)
        self._remarks = []
        self.behind_since = None

    def after(self, pieces: list[Piece]) -> Position:
        """The position once these are stored."""
        last = pieces[-1]
        position = self._position
        offset = max(position.offset, last.ends - position.base)
        head = self._read(0, HEAD) if len(position.head) < HEAD else position.head
        return Position(head, position.base, offset, span(last.data, last.now)[1])

    # -- looking ahead

    def pending(self, at: int) -> tuple[int, list[Line], int]:
        """What is in the file and not stored: where it begins, its whole lines that begin at `at` or later, and where
        they end."""
        with self._lock:
            position, file = self._position, self._file
            begins = position.end
            if file is None:
                return begins, [], begins
            size = max(0, os.fstat(file).st_size - position.offset)
            data = os.pread(file, min(size, limits.LOG_BACKLOG), position.offset)
        data = data[: cut(data)]
        lines = [line for line in read(data, begins, self.source) if line.at >= at]
        return begins, lines, begins + len(data)

    def fresh(self, at: int, most: int) -> tuple[int, list[Line], int, int]:
        """For a reader who has everything before `at`, where a line begins: where what is not stored begins, about
        `most` bytes of whole lines from there or from `at`, where they end, and where all that was written ends. A
        reader who is beyond that has seen what a power cut took: it begins anew with what is not stored."""
        with self._lock:
            position, file = self._position, self._file
            begins = position.end
            remarks = [piece for piece in self._remarks if piece.ends > at]
            if remarks:
                begins, ends = remarks[0].at, remarks[-1].ends
                told = [line for piece in remarks for line in read(piece.data, piece.at, piece.source)]
                return (begins, [], begins, ends) if at < begins else (begins, told, ends, ends)
            if file is None:
                return begins, [], begins, max(begins, at)
            written = position.base + os.fstat(file).st_size
            begin = at if begins < at <= written else begins
            if begin > begins and os.pread(file, 1, begin - position.base - 1) != b"\n":
                return begins, [], begins, begins  # where it was is another line now
            size = min(most, written - begin)
            data = os.pread(file, size, begin - position.base) if size > 0 else b""
            while len(data) == size and size < min(limits.LOG_LINE, written - begin) and not cut(data):
                size = min(2 * size, limits.LOG_LINE, written - begin)
                data = os.pread(file, size, begin - position.base)
        data = data[: cut(data)]
        return begins, list(read(data, begin, self.source)), begin + len(data), written

    def last(self, most: int) -> tuple[int, list[Line]]:
        """The lines in the last `most` bytes of the file, stored or not, also one that has no end; and where they
        begin. After `look`."""
        with self._lock:
            base, file = self._position.base, self._file
            size = os.fstat(file).st_size if file is not None else 0
            begins = max(0, size - most)
            data = os.pread(file, size - begins, begins) if file is not None else b""
        if begins:
            first = data.find(b"\n") + 1
            begins, data = begins + first, data[first:]
        return base + begins, list(read(data, base + begins, self.source))

    # -- the file

    def _open(self) -> bool:
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        known, self._known = self._known, None
        if known is not None and known.head and os.pread(file, len(known.head), 0) != known.head:
            self._rotated(known)
        with self._lock:
            self._file = file
        return True

    def _rotated(self, known: Position) -> None:
        """The file that was read when this process was not there is gone."""
        now, end = self._now(), known.end
        # Far enough that no place that somebody has reached in the old file is one of the new file.
        begins = end + limits.LOG_FILE
        self._remarks.append(Piece(self.source, end, begins, remark(now, ROTATED), now))
        self._position = Position(base=begins, last=known.last)

    def _shrunk(self, size: int) -> None:
        """A power cut took the end of the file, or somebody emptied it: go on with the first line that is newer than
        all that were stored."""
        data, at = self._read(0, size), 0
        begins = 0
        while (ends := data.find(b"\n", begins) + 1) > 0:
            if time_of(data[begins : begins + 35]) > self._position.last:
                break
            begins = at = ends
        with self._lock:
            self._position = Position(b"", self._position.end - at, at, self._position.last)

    def _read(self, at: int, size: int) -> bytes:
        assert self._file is not None  # noqa: S101
        with contextlib.suppress(OSError):
            return os.pread(self._file, size, at) if size > 0 else b""
        return b""
