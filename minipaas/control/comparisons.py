"""Comparisons of two releases, remembered: bills of materials have megabytes, and the same two are asked for again."""

from __future__ import annotations

import asyncio

from minipaas.control.contents import Open, read_contents
from minipaas.plan.difference import Comparison, compare
from minipaas.registry.releases import ReleaseRow

KEPT = 32
_Key = tuple[str, bool, str, bool]


class Comparisons:
    """One for the box."""

    def __init__(self, open_blob: Open) -> None:
        self._open = open_blob
        self._known: dict[_Key, Comparison] = {}
        """By digest, and whether each was retired then."""
        self.turn = asyncio.Lock()
        """One is made at a time."""

    async def of(self, old: ReleaseRow, new: ReleaseRow) -> Comparison:
        """What is different in `new`. In a thread."""
        key = (old.release.digest, old.retired, new.release.digest, new.retired)

        def work() -> Comparison:
            before = read_contents(old.release, self._open, retired=old.retired)
            return compare(before, read_contents(new.release, self._open, retired=new.retired))

        async with self.turn:
            if key not in self._known:
                if len(self._known) >= KEPT:
                    del self._known[next(iter(self._known))]
                self._known[key] = await asyncio.to_thread(work)
        return self._known[key]
