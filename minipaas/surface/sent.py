"""What open pages show, so that news bring them only the rows that differ.

What always holds: a page that says what it shows gets either the rows that bring it up to date, or everything; what is
remembered is bounded, and an unknown page gets everything.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Generic, TypeVar

from msgspec import Struct

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """The last `most` things that were put in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """What was put under this key, if it is still there."""
        return self._things.get(key)

    def put(self, key: K, value: V) -> None:
        """Remember it, and forget the oldest."""
        self._things.pop(key, None)
        self._things[key] = value
        while len(self._things) > self._most:
            del self._things[next(iter(self._things))]


class Shown(Struct, frozen=True):
    """A page as it was sent: `frame` is all that is not a row, and the order of the rows; `rows` by id, hashed."""

    frame: tuple[object, ...]
    rows: Mapping[str, int]


class Sent:
    """The last `most` pages."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pages: dict[str, Shown] = {}

    def note(self, shown: Shown) -> str:
        """Remember; returns the name by which the page will ask again. The same content has the same name."""
        name = next((name for name, page in self._pages.items() if page == shown), secrets.token_hex(8))
        self._pages[name] = self._pages.pop(name, shown)
        while len(self._pages) > self._most:
            del self._pages[next(iter(self._pages))]
        return name

    def changed(self, name: str, shown: Shown) -> list[str] | None:
        """The rows that a page of that name lacks; None: it needs everything."""
        before = self._pages.get(name)
        if before is None or before.frame != shown.frame:
            return None
        return [row for row, content in shown.rows.items() if before.rows.get(row) != content]
