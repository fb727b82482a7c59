"""What is kept of leases: `ID.json` about each that is over, and `ID.cast` of those that were recorded.

What always holds: the files belong to minipaas alone (mode 0600, directory 0700); together they are never larger than
`[access] recordings` nor older than `[access] keep`, the oldest go first; a file that cannot be read is as good as
none. What a file said once it says for ever, so each is read once.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import msgspec

from minipaas.forensics import limits
from minipaas.forensics.recording import Recording
from minipaas.model.errors import Missing
from minipaas.model.lease import Lease

_ID = re.compile(r"[0-9a-f]{12}")


class Kept:
    """One directory of them."""

    def __init__(self, directory: Path, size: int, age: float) -> None:
        self._directory = directory
        self._size = size
        self._age = age
        self._read: dict[str, Lease | None] = {}

    def record(self, lease: Lease) -> Recording:
        """A recording for a lease that begins."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        path = self._directory / f"{lease.id}.cast"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return Recording(path, lease)

    async def add(self, lease: Lease) -> None:
        """One that is over; the oldest make room."""
        await asyncio.to_thread(self._add, lease)

    async def newest(self, limit: int, app: str | None = None, before: str | None = None) -> list[Lease]:
        """Those that are over, the newest first; `before`: only those that had begun before the one of this id."""
        return await asyncio.to_thread(self._newest, limit, app, before=before)

    async def get(self, lease: str) -> Lease | None:
        """One that is over."""
        return await asyncio.to_thread(self._of, lease)

    async def since(self, began: float, app: str) -> list[Lease]:
        """Those of an app that are over and had begun at that time or later (Unix seconds), the newest first."""
        return await asyncio.to_thread(self._newest, limits.KEPT_LEASES, app, began)

    async def recording(self, lease: str) -> bytes:
        """The asciicast of a lease, open or over. Raises Missing."""
        try:
            return await asyncio.to_thread((self._directory / f"{lease}.cast").read_bytes)
        except FileNotFoundError:
            raise Missing(
                f"cannot play {lease}: there is no recording of it",
                hint="see which there are: minipaas access list",
                code="access.no_recording",
            ) from None

    def _add(self, lease: Lease) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        path = self._directory / f"{lease.id}.json"
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(msgspec.json.encode(lease))
        fresh.replace(path)
        self._make_room((lease.ended or lease.started) - self._age)

    def _make_room(self, before: float) -> None:
        total, count = 0, 0
        for number in sorted(self._ids(), reverse=True):
            size = sum(_size(self._directory / f"{number}{ending}") for ending in (".json", ".cast"))
            total, count = total + size, count + 1
            if total > self._size or count > limits.KEPT_LEASES or int(number[:8], 16) < before:
                for ending in (".json", ".cast"):
                    (self._directory / f"{number}{ending}").unlink(missing_ok=True)
                total -= size

    def _ids(self) -> set[str]:
        try:
            names = [path.stem for path in self._directory.iterdir()]
        except FileNotFoundError:
            return set()
        return {name for name in names if _ID.fullmatch(name)}

    def _newest(self, limit: int, app: str | None, began: float = 0.0, before: str | None = None) -> list[Lease]:
        found: list[Lease] = []
        there = self._ids()
        for gone in self._read.keys() - there:
            self._read.pop(gone, None)
        for number in sorted(there, reverse=True):
            if before is not None and number >= before:
                continue
            if int(number[:8], 16) + 1 < began or len(found) >= limit:
                break
            lease = self._of(number)
            if lease is not None and app in (None, lease.app):
                found.append(lease)
        return found

    def _of(self, number: str) -> Lease | None:
        if number not in self._read:
            path = self._directory / f"{number}.json"
            try:
                self._read[number] = msgspec.json.decode(path.read_bytes()[: limits.LEASE_FILE], type=Lease)
            except FileNotFoundError:  # it is open, or gone
                return None
            except (OSError, msgspec.MsgspecError):
                self._read[number] = None
        return self._read.get(number)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
