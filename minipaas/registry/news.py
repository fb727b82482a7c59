"""News: a number that grows with every commit that a reader could notice, and those who wait for it to grow.

The number is kept in the file and raised in the commit's own transaction, so it never repeats, also over restarts.
It is raised on the writer's thread; waiters live on the event loop's and are woken there.
"""

from __future__ import annotations

import asyncio
from sqlite3 import Connection


class News:
    """The version and its waiters."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._waiters: set[asyncio.Future[None]] = set()

    def publish(self, version: int, loop: asyncio.AbstractEventLoop) -> None:
        """From the writer's thread, after the commit."""
        self.version = version
        try:
            loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            # The loop was closed while its last write was under way: nobody is left to wake.
            self._waiters.clear()

    async def newer(self, than: int, timeout: float) -> int:  # noqa: ASYNC109  callers poll with a length of wait
        """The version as soon as it differs from `than`, or after `timeout` seconds as it is."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while self.version == than and (left := end - loop.time()) > 0:
            waiter = loop.create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait([waiter], timeout=left)
            finally:
                self._waiters.discard(waiter)
        return self.version

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def bump(db: Connection) -> int:
    """Raise the number within a transaction; returns the new one."""
    row = db.execute(
        "UPDATE box SET value = CAST(value AS INTEGER) + 1 WHERE key = 'version' RETURNING value"
    ).fetchone()
    return int(row["value"])


def stored(db: Connection) -> int:
    """The number as the file has it."""
    return int(db.execute("SELECT value FROM box WHERE key = 'version'").fetchone()[0])
