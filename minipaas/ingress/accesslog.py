"""The access log: one line of JSON a request, written by a thread of its own.

What always holds: the data path never waits for it. What waits to be written is bounded, and what finds no room, or no
disk, is counted and said, in the log of the service and in this one. Files are bounded too: the present one is set
aside at a size, and so many of those are kept. Two processes, while one hands over to the other, may share a file.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from random import random

import msgspec
from msgspec import Struct

log = logging.getLogger("minipaas")

WAITING = 20_000
"""Lines that may wait to be written..."""
HELD = 8 * 1024 * 1024
"""...and what they may hold, in bytes."""
PATH = 1024
"""Longer paths are cut."""
GAP = 0.2
"""Seconds between two writes: what comes meanwhile is written at once."""
SAID_EVERY = 60.0
"""Seconds between two complaints in the log of the service."""
END = 2.0
"""Seconds that the last lines may take at the end."""
_COST = 700
"""What an entry holds beside its head, in bytes."""

LEFT = "client.left"
"""The client was gone before the end of its answer, as far as anybody can know."""
BROKEN = "answer.broken"
"""The answer ended before its end."""

_TRACE = re.compile(rb"(?:^|\n)traceparent:[\t ]*[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", re.IGNORECASE)


class Entry(Struct):
    """What is known of a request that is over, as the data path has it. Times in seconds, sizes in bytes."""

    began: float
    """Since the epoch."""
    took: float
    client: str
    peer: str
    """Who connected: the client, or a trusted proxy."""
    secure: bool
    status: int
    """Of the answer; 0: there was none."""
    received: int
    sent: int
    fault: str
    retries: int = 0
    method: bytes = b""
    host: bytes = b""
    target: bytes = b""
    old: bool = False
    block: bytes = b""
    """The fields of the head."""
    app: str = ""
    service: str = ""
    route: str = ""
    instance: str = ""


class _Line(Struct, omit_defaults=True):
    """An entry as it is written; what is empty is left out. The operator's handbook says what each field is."""

    time: str
    client: str
    status: int | None
    duration_ms: float
    bytes_in: int
    bytes_out: int
    tls: bool
    peer: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    query: str = ""
    protocol: str = ""
    app: str = ""
    service: str = ""
    route: str = ""
    instance: str = ""
    retries: int = 0
    trace_id: str = ""
    fault: str = ""
    sample: float | None = None
    """What the line stands for: itself and others that are not written."""


class _Lost(Struct):
    """Stands where lines are missing."""

    time: str
    lost: int


class AccessLog:
    """`path`: a file, or None for standard output. `sample`: the share of requests without a fault that are written,
    0 to 1; what went wrong is always written. `size`: bytes of a file; `keep`: older files."""

    def __init__(self, path: Path | None, *, sample: float, size: int, keep: int, query: bool) -> None:
        self._path = path
        self._sample = sample
        self._size = size
        self._keep = keep
        self._query = query
        self._waiting: deque[Entry] = deque()
        # Each is written by one thread alone: what was added and lost by the loop's, what was taken by the other.
        self._added = self._taken = 0
        self._full = self._failed = 0
        self._told = 0
        self._said = -SAID_EVERY
        self._file = -1
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)

    def start(self) -> None:
        """Begin to write. A file that cannot be written stops nobody: it is said, and tried again."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits, for a moment at most."""
        self._ending.set()
        self._wake.set()
        self._thread.join(END)

    @property
    def lost(self) -> int:
        """Lines that should be there and are not."""
        return self._full + self._failed

    # -- the loop's side

    def wants(self, status: int, fault: str) -> bool:
        """Whether a request that ended so is written."""
        sample = self._sample
        return sample >= 1.0 or self._always(status, fault) or random() < sample  # noqa: S311 - nobody has to guess it

    @staticmethod
    def _always(status: int, fault: str) -> bool:
        """What went wrong."""
        return status >= 500 or not status or bool(fault and (status >= 400 or fault in (LEFT, BROKEN)))

    def add(self, entry: Entry) -> None:
        """Have it written, soon."""
        cost = len(entry.block) + len(entry.target) + _COST
        if len(self._waiting) >= WAITING or self._added - self._taken + cost > HELD:
            self._full += 1
        else:
            self._added += cost
            self._waiting.append(entry)
        self._wake.set()

    # -- the thread's side

    def _run(self) -> None:
        while not self._ending.is_set():
            self._wake.wait()
            self._wake.clear()
            self._drain()
            self._ending.wait(GAP)
        self._drain()
        if self._file >= 0 and self._path is not None:
            os.close(self._file)

    def _drain(self) -> None:
        waiting = self._waiting
        batch: list[bytes] = []
        for _ in range(len(waiting)):
            entry = waiting.popleft()
            self._taken += len(entry.block) + len(entry.target) + _COST
            batch.append(self._line(entry))
        lost, told = self.lost, self._told
        lines = [*batch, _encoded(_Lost(_rfc3339(time.time()), lost - told))] if lost > told else batch
        written, why = self._write(lines)
        missing = len(batch) - min(written, len(batch))
        self._failed += missing
        if written == len(lines):
            self._told = lost
        if missing or lost > told:
            self._complain(why or "more requests than can be written")

    def _complain(self, why: str) -> None:
        now = time.monotonic()
        if now - self._said >= SAID_EVERY:
            self._said = now
            log.warning("requests missing in %s so far: %d (%s)", self._path or "the access log", self.lost, why)

    def _line(self, entry: Entry) -> bytes:
        path, _, query = entry.target.partition(b"?")
        trace = _TRACE.search(entry.block)
        return _encoded(
            _Line(
                time=_rfc3339(entry.began),
                client=entry.client,
                status=entry.status or None,
                duration_ms=round(entry.took * 1000, 3),
                bytes_in=entry.received,
                bytes_out=entry.sent,
                tls=entry.secure,
                peer=entry.peer if entry.peer != entry.client else "",
                method=entry.method.decode("latin-1"),
                host=entry.host.decode("latin-1"),
                path=path[:PATH].decode("latin-1"),
                query=query[:PATH].decode("latin-1") if self._query else "",
                protocol="" if not entry.method else "HTTP/1.0" if entry.old else "HTTP/1.1",
                app=entry.app,
                service=entry.service,
                route=entry.route,
                instance=entry.instance,
                retries=entry.retries,
                trace_id=trace[1].decode().lower() if trace is not None else "",
                fault=entry.fault,
                sample=None if self._sample >= 1 or self._always(entry.status, entry.fault) else self._sample,
            )
        )

    # -- the file

    def _write(self, lines: list[bytes]) -> tuple[int, str]:
        """Returns how many are written, and why not all."""
        written = 0
        try:
            while written < len(lines):
                upto = self._fitting(lines, written)
                if upto > written:
                    _put(1 if self._path is None else self._file, lines[written:upto], whole=self._path is not None)
                    written = upto
        except OSError as error:
            self._forget()
            return written, error.strerror or str(error)
        return written, ""

    def _fitting(self, lines: list[bytes], start: int) -> int:
        """Up to which line the present file has room; where it has none, the next file is begun."""
        if self._path is None:
            return len(lines)
        size = before = self._open(self._path)
        end = start
        while end < len(lines) and (size + len(lines[end]) <= self._size or not size):
            size += len(lines[end])
            end += 1
        if end == start and before:
            self._rotate(self._path)
        return end

    def _open(self, path: Path) -> int:
        """Have the file open that has this name now. Returns its size."""
        if self._file >= 0:
            here = os.fstat(self._file)
            with contextlib.suppress(FileNotFoundError):
                named = path.stat()
                if (named.st_dev, named.st_ino) == (here.st_dev, here.st_ino):
                    return here.st_size
            self._forget()
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        return os.fstat(self._file).st_size

    def _rotate(self, path: Path) -> None:
        """Set the present file aside. Who shares it may do so at the same moment: once is enough."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(self._file).st_ino:
                for number in range(self._keep, 0, -1):
                    older = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
                    with contextlib.suppress(FileNotFoundError):
                        older.rename(path.with_name(f"{path.name}.{number}"))
        self._forget()

    def _forget(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def _put(file: int, lines: list[bytes], *, whole: bool) -> None:
    """Write all of it; with `whole`, what does not fit on the disk leaves no half line behind."""
    data = memoryview(b"".join(lines))
    before = os.fstat(file).st_size if whole else 0
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:
        if whole:
            os.ftruncate(file, before)
        raise


def _encoded(line: Struct) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def _rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
