"""Who waits for something new: the registry's version and the last look at Podman, as one growing number.

What always holds: nothing runs while nobody waits; `close` wakes everybody; the number also differs after a restart,
so that an old page notices.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from minipaas.model.observed import Observed
from minipaas.registry.registry import Registry
from minipaas.surface.limits import LIMITS, Limits


class News:
    """One for all event streams."""

    def __init__(
        self,
        registry: Registry,
        observed: Callable[[], Observed],
        limits: Limits = LIMITS,
        also: Callable[[], int] = lambda: 0,
    ) -> None:
        """`also`: a number that is another one when there is news of another sort."""
        self._registry = registry
        self._observed = observed
        self._limits = limits
        self._also = also
        self._version = int(time.time() * 1000)
        self._seen: tuple[int, Observed] = (registry.version, observed())
        self._seen_also = also()
        self._closing = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether the surface is closing: streams end."""
        return self._closing.is_set()

    def close(self) -> None:
        """Wake everybody, for good."""
        self._closing.set()

    def current(self) -> int:
        """The number of what is there now."""
        seen = (self._registry.version, self._observed())
        other, self._seen_also = self._seen_also != self._also(), self._also()
        if other or seen[0] != self._seen[0] or (seen[1] is not self._seen[1] and seen[1] != self._seen[1]):
            self._version += 1
        self._seen = seen
        return self._version

    async def wait(self, than: int, timeout: float) -> int:  # noqa: ASYNC109  a length of wait is the point of it
        """The number as soon as it is not `than`; after `timeout` seconds, or when closing, as it is."""
        until = time.monotonic() + timeout
        while (version := self.current()) == than and not self.closed:
            left = until - time.monotonic()
            if left <= 0:
                break
            await self._pause(min(left, self._limits.glance))
        return version

    async def _pause(self, seconds: float) -> None:
        """Until the registry has something new, or closing, at most `seconds`."""
        waits = {
            asyncio.create_task(self._registry.newer(self._seen[0], seconds), name="news: registry"),
            asyncio.create_task(self._closing.wait(), name="news: closing"),
        }
        try:
            done, _ = await asyncio.wait(waits, timeout=seconds + 1, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def sleep(self, seconds: float) -> None:
        """A pause that closing ends."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
