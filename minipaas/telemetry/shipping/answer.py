"""What becomes of lines that were sent: formats and senders say it, the shipper acts on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from minipaas.model.logs import Line
from minipaas.telemetry import limits


class Answer(Struct, frozen=True):
    """Of lines that arrived. Those that are not named were taken."""

    again: tuple[Line, ...] = ()
    """Not taken now; to be sent again after a pause."""
    refused: int = 0
    """Lines that are not wanted, and never will be."""
    why: str = ""
    """Of the first that is refused."""
    again_why: str = ""
    """Of the first that is not taken now."""
    split: bool = False
    """All of them were refused for the sake of some: halves may fare better."""


class NotSent(Exception):
    """The lines did not arrive, or nobody knows whether they did. `why`: for a person. `after`: seconds that the
    destination wants to be left alone."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.after = after


class Format(Protocol):
    """How one kind of destination wants lines, over HTTP. Pure."""

    path: str
    """Where they go, behind the address that the operator gave."""
    media: str

    def encode(self, lines: Iterable[Line]) -> bytes:
        """The body of a request."""

    def judge(self, body: bytes, lines: Sequence[Line]) -> Answer:
        """What an answer with a status of 2xx says. Raises NotSent for what is no such answer."""

    def refusal(self, body: bytes, lines: Sequence[Line]) -> Answer | None:
        """What an answer with 400 says of single lines, the others being taken; None: nothing."""


class Sender(Protocol):
    """The way to one destination."""

    settles: float
    """Seconds until what was taken is safe; 0: at once."""

    def encode(self, lines: Sequence[Line]) -> bytes:
        """Lines as they go over the wire. For another thread than the event loop's."""

    async def send(self, body: bytes, lines: Sequence[Line]) -> Answer:
        """One attempt, with an end. Raises NotSent."""

    async def stands(self) -> bool:
        """Whether the connection over which lines were taken is still there."""

    async def rest(self) -> bool:
        """Nothing more comes for now. Whether everything that was taken is safe."""

    async def close(self) -> None:
        """Let go."""


def told(text: str) -> str:
    """What a destination says, for one line of a page."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line if len(line) <= limits.SHIP_WHY else line[: limits.SHIP_WHY - 1] + "…"
