"""A bounded pipe of byte chunks from the event loop to a worker thread that reads it like a file."""

from __future__ import annotations

import asyncio
import io
import queue

READ_PATIENCE = 120.0
"""Seconds a reader waits for the next chunk before it believes that the writer is gone, unless it is told otherwise."""


class ChunkPipe(io.RawIOBase):
    """One side awaits `feed`, the other calls `read`. At most `depth` chunks wait in between."""

    def __init__(self, depth: int = 16, patience: float = READ_PATIENCE) -> None:
        super().__init__()
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(depth)
        self._chunks: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        self._rest = memoryview(b"")
        self._ended = False

    async def feed(self, chunk: bytes) -> None:
        """Hand over one chunk, as soon as there is room for it."""
        if chunk:
            await self._room.acquire()
            self._chunks.put(chunk)

    def finish(self, error: Exception | None = None) -> None:
        """No more chunks. With an error, the reader raises it instead of seeing an end."""
        self._chunks.put(error if error is not None else b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._rest and not self._ended:
            self._next()
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> None:
        try:
            chunk = self._chunks.get(timeout=self._patience)
        except queue.Empty:
            raise TimeoutError("the sender went silent") from None
        if isinstance(chunk, Exception):
            self._ended = True
            raise chunk
        self._ended = not chunk
        self._rest = memoryview(chunk)
        if chunk:
            self._loop.call_soon_threadsafe(self._room.release)
