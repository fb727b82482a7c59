"""Who sends, and how a line is named there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from msgspec import Struct

from minipaas.model.logs import Level, Line, Stream
from minipaas.telemetry import limits
from minipaas.telemetry.logs.level import level_of


class Origin(Struct, frozen=True):
    """This box. `host`: the name of the machine."""

    box: str
    host: str

    def id_of(self, line: Line) -> str:
        """The same for a line whenever it is sent, and for no other. Its place in the log of its container would not do
        alone: after a power cut another line may stand there."""
        return f"{self.box[:12]}-{line.source.container[:16]}-{line.time:x}-{line.at}"


def text_of(line: Line) -> str:
    """As Unicode; bytes that are none become U+FFFD."""
    return line.text.removesuffix(b"\r").decode(errors="replace")


def level_told(line: Line) -> Level | None:
    """How bad it says that it is; remarks of minipaas are warnings."""
    return Level.WARN if line.stream is Stream.MINIPAAS else level_of(line.text)


def short(release: str) -> str:
    """A digest as people see it."""
    return release.removeprefix("sha256:")[:12]


def gently(lines: Iterable[Line]) -> Iterator[Line]:
    """The same lines; in between, the event loop gets the interpreter: it need not wait for longer than some lines
    take. For a thread."""
    for number, line in enumerate(lines, 1):
        yield line
        if number % limits.SHIP_CHEW == 0:
            give_way()


def give_way() -> None:
    """A sleep, because only that gives the interpreter to whoever waits for it; no matter how short."""
    time.sleep(0.0001)
