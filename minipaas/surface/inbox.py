"""What a client has sent and nobody has taken yet. A WebSocket is always read at once, because pings come the same way
as bytes; what bounds the bytes is the client, which waits for what was taken (`wire_access.Taken`)."""

from __future__ import annotations

import asyncio
from collections import deque

from minipaas.model.errors import Invalid
from minipaas.surface.wire_access import WINDOW


class Inbox:
    """Pieces in their order; an empty one is the end."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()

    def put(self, data: bytes) -> None:
        """Raises Invalid for a client that does not wait."""
        if self._size + len(data) > WINDOW or len(self._pieces) > WINDOW // 64:
            raise Invalid(f"cannot take more than {WINDOW} bytes ahead", code="api.too_large")
        self._size += len(data)
        self._pieces.append(data)
        self._news.set()

    async def get(self) -> bytes:
        """The next piece."""
        while not self._pieces:
            self._news.clear()
            await self._news.wait()
        data = self._pieces.popleft()
        self._size -= len(data)
        return data
