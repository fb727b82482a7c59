"""Which instances somebody has been in, and so may differ from what was released.

What always holds: the mark outlives minipaas (a small file) and ends with the container; a file that cannot be read
marks nothing, and one that cannot be written is told in the log alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

log = logging.getLogger(__name__)


class Touch(Struct, frozen=True, kw_only=True):
    """Who was in it last, how, and when (Unix seconds)."""

    by: str
    how: str
    """`shell`, `exec`, `copy`."""
    at: float


class Touched:
    """Marks by container id."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()
        try:
            self._marks = msgspec.json.decode(path.read_bytes(), type=dict[str, Touch])
        except (OSError, msgspec.MsgspecError):
            self._marks = {}

    def of(self, container: str) -> Touch | None:
        """The mark of an instance."""
        return self._marks.get(container)

    async def mark(self, container: str, touch: Touch, there: Iterable[str]) -> None:
        """`there`: the containers that there are; marks of others are past."""
        known = {container, *there}
        self._marks = {one: mark for one, mark in self._marks.items() if one in known} | {container: touch}
        async with self._turn:
            try:
                await asyncio.to_thread(self._write, msgspec.json.encode(self._marks))
            except OSError as error:
                log.warning("cannot write down who was in an instance: %s", error)

    def _write(self, data: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.replace(self._path)
