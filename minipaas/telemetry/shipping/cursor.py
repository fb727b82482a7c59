"""How far one destination has come in the log of each container: what it has confirmed, and what was taken to be sent.

What always holds: the confirmed place moves only over what was confirmed, or is counted as lost; what was taken can be
given back at any time, and is then taken again. All methods may be called on any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Collection

from msgspec import Struct

Key = tuple[str, str]
"""App and container."""
Move = dict[Key, int]
"""Where what was taken ends, in bytes of each container's log."""


class Counts(Struct):
    """Since the destination was named for the first time. Times in Unix seconds."""

    lines: int = 0
    sent_bytes: int = 0
    confirmed_at: float | None = None
    newest: float | None = None
    refused: int = 0
    refused_why: str = ""
    lost: int = 0
    lost_bytes: int = 0
    lost_at: float | None = None


class Cursor:
    """`ends`: what is confirmed."""

    def __init__(self, ends: Move, counts: Counts) -> None:
        self.counts = counts
        self._lock = threading.Lock()
        self._confirmed = dict(ends)
        self._taken = dict(ends)
        self._changed: dict[Key, int | None] = {}

    def at(self, key: Key) -> int | None:
        """Up to where it was taken; None: nothing is known of this container."""
        return self._taken.get(key)

    def take(self, move: Move, key: Key, end: int) -> None:
        """All up to here is being sent, as part of that move."""
        with self._lock:
            move[key] = self._taken[key] = end

    def confirm(self, move: Move) -> None:
        """All of that has arrived."""
        with self._lock:
            for key, end in move.items():
                if end > self._confirmed.get(key, -1):
                    self._confirmed[key] = self._changed[key] = end

    def back(self) -> set[str]:
        """What was taken and is not confirmed has not arrived: it is taken again. Returns the apps that have such."""
        with self._lock:
            apps = {key[0] for key, end in self._taken.items() if end != self._confirmed.get(key)}
            self._taken = dict(self._confirmed)
        return apps

    def put(self, key: Key, end: int) -> None:
        """It is there from now on, forward or back: there is nothing else to be had."""
        with self._lock:
            self._confirmed[key] = self._taken[key] = self._changed[key] = end

    def lose(self, key: Key, end: int, lines: int, size: int, now: float) -> None:
        """What lies between is gone for ever."""
        with self._lock:
            self._taken[key] = max(end, self._taken.get(key, 0))
            self._confirmed[key] = self._changed[key] = max(end, self._confirmed.get(key, 0))
            self.counts.lost += lines
            self.counts.lost_bytes += size
            self.counts.lost_at = now

    def keep(self, app: str, containers: Collection[str]) -> None:
        """Of this app there is nothing any more of others."""
        with self._lock:
            gone = [key for key in self._taken if key[0] == app and key[1] not in containers]
            for key in gone:
                self._taken.pop(key, None)
                self._confirmed.pop(key, None)
                self._changed[key] = None

    def changes(self) -> dict[Key, int | None]:
        """What was confirmed since the last call; None: forgotten."""
        with self._lock:
            changed, self._changed = self._changed, {}
        return changed

    def unsaved(self, changes: dict[Key, int | None]) -> None:
        """These could not be written: they come with the next."""
        with self._lock:
            self._changed = {**changes, **self._changed}
