"""Who wrote a line, what the line is, and which lines somebody asks for."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Stream(StrEnum):
    """Where a line came from."""

    STDOUT = "stdout"
    STDERR = "stderr"
    MINIPAAS = "minipaas"
    """Not the container: a remark of minipaas about what is missing at this place."""


class Level(StrEnum):
    """How bad a line says that it is, the least first."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    FATAL = "fatal"


class Source(Struct, frozen=True, kw_only=True):
    """One container as a writer of lines."""

    container: str
    app: str
    service: str
    instance: str
    """Its name, as people see it."""
    release: str
    """The release's digest; empty: not known."""


class Line(Struct, frozen=True):
    """One line. `order` is unique among the lines of an app."""

    time: int
    """Nanoseconds since 1970, by the clock of the host when the line was written."""
    at: int
    """Bytes that the container had written to its log before it."""
    stream: Stream
    text: bytes
    source: Source

    @property
    def order(self) -> tuple[int, str, int]:
        """Its place among all lines of an app."""
        return self.time, self.source.container[:12], self.at


class Wanted(Struct, frozen=True, kw_only=True):
    """Which lines of an app; None and empty: all of them."""

    text: str = ""
    """What the line contains, from the beginning of a word on, in any case; after a leading `*` also within words."""
    service: str | None = None
    instance: str | None = None
    stream: Stream | None = None
    level: Level | None = None
    """At least so bad; lines that don't say are left out."""
    releases: frozenset[str] | None = None
    """Digests."""
    since: int = 0
    """Nanoseconds since 1970, inclusive."""
    until: int | None = None
    """Exclusive."""
    before: tuple[int, str, int] | None = None
    """Only lines before this one (`Line.order`)."""


class Found(Struct, frozen=True, kw_only=True):
    """Lines in the order of time, and where to go on."""

    lines: tuple[Line, ...] = ()
    ends: dict[str, int] = {}
    """By container: up to where its log was looked at."""
    more: bool = False
    """There are more lines than were asked for."""
