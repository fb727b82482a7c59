"""A sentence before it has a language: its key in the catalogues, and what goes into its placeholders."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class Moment(Struct, frozen=True):
    """A point in time, Unix seconds: `09:12`, with the date when it is not today."""

    at: float


class Span(Struct, frozen=True):
    """A length of time in seconds: `40 s`, `3 min`, `2 h 5 min`."""

    seconds: float


class Names(Struct, frozen=True):
    """A list, of which at most `most` are named: `a, b and 3 more`."""

    items: tuple[str | Message, ...]
    most: int = 5


class Message(Struct, frozen=True):
    """`key` of the catalogue; `args` by placeholder. The placeholder `n` chooses the plural."""

    key: str
    args: tuple[tuple[str, Arg], ...] = ()


Arg: TypeAlias = "str | int | float | Moment | Span | Names | Message"


def message(key: str, /, **args: Arg) -> Message:
    """The message with that key."""
    return Message(key, tuple(args.items()))
