"""Which instances somebody has been in, and what is known of what they have changed there.

What always holds: the mark outlives minipaas (a small file) and ends with the container; a file that cannot be read
marks nothing, and one that cannot be written is told in the log alone. Nobody is said to have changed nothing while
that is not known.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

log = logging.getLogger(__name__)


class Touch(Struct, frozen=True, kw_only=True):
    """Who was in it last, how, and when (Unix seconds)."""

    by: str
    how: str
    """`shell`, `exec`, `copy`."""
    at: float
    copied: bool = False
    """Somebody has copied files into it, perhaps to where no drift is seen: a volume, or /tmp."""
    changed: int | None = None
    """Files that differ from the image, as last looked at; None: not looked at since somebody came in."""

    @property
    def written(self) -> bool:
        """Whether it surely is no longer what was released."""
        return bool(self.changed) or self.copied


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
        before = self._marks.get(container)
        if before is not None:  # what was found before is still there; that nothing was, may be over
            touch = replace(touch, copied=touch.copied or before.copied, changed=before.changed or None)
        self._marks = {one: mark for one, mark in self._marks.items() if one in known} | {container: touch}
        await self._keep()

    async def seen(self, container: str, changed: int) -> None:
        """So many files of it differ now. One that nobody was in gets no mark."""
        mark = self._marks.get(container)
        if mark is not None and mark.changed != changed:
            self._marks[container] = replace(mark, changed=changed)
            await self._keep()

    async def _keep(self) -> None:
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
