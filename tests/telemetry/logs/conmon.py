"""A log file as conmon writes it, with its rotation, for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from minipaas.model.logs import Source
from minipaas.telemetry.logs.lines import stamp_of

START = 1_795_516_858_000_000_000


class Conmon:
    """Writes the log of one container. Every line is a millisecond later than the one before, unless there is a
    `clock` (nanoseconds)."""

    def __init__(self, path: Path, *, most: int = 1 << 40, clock: Callable[[], int] | None = None) -> None:
        self.path = path
        self.now = START
        self._most = most
        self._clock = clock
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def write(self, *texts: str | bytes, stream: str = "stdout", tag: str = "F") -> None:
        """Lines; a new file takes this one's place when it is full."""
        for text in texts:
            self.now = self._clock() if self._clock is not None else self.now + 1_000_000
            data = text.encode() if isinstance(text, str) else text
            line = b"%s %s %s %s\n" % (stamp_of(self.now), stream.encode(), tag.encode(), data)
            if self._file.tell() + len(line) > self._most:
                self.rotate()
            self._file.write(line)

    def rotate(self) -> None:
        """As conmon does: a new file, renamed over the old one."""
        self._file.close()
        fresh = self.path.with_name(self.path.name + ".tmp")
        self._file = fresh.open("wb", buffering=0)
        fresh.replace(self.path)

    def close(self) -> None:
        self._file.close()


def source(container: str = "c1", *, app: str = "shop", service: str = "web", release: str = "sha256:1") -> Source:
    return Source(
        container=container, app=app, service=service, instance=f"{app}-{service}-{container}", release=release
    )
