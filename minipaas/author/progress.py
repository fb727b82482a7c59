"""How a build tells what it is doing. The command line draws bars from it; other callers may stay silent."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What is told. All calls come from the thread that builds."""

    def begin(self, title: str, total: int | None) -> None:
        """Something that may take a while begins; `total` in bytes, None when it is not known."""

    def advance(self, count: int) -> None:
        """So many bytes more."""

    def line(self, text: str) -> None:
        """A line that a build printed."""

    def done(self, title: str) -> None:
        """Something has ended well; for the record."""


class Silent:
    """Progress that nobody looks at."""

    def begin(self, title: str, total: int | None) -> None:
        """Nothing."""

    def advance(self, count: int) -> None:
        """Nothing."""

    def line(self, text: str) -> None:
        """Nothing."""

    def done(self, title: str) -> None:
        """Nothing."""
