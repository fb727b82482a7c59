"""A look at what was changed in an instance, soon after somebody has left it.

What always holds: nobody who comes or goes waits for it; of one instance there is one look at a time, however many
come and go; one that cannot be had changes no mark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from minipaas.forensics import limits
from minipaas.model.errors import MinipaasError


class Looks:
    """One for the box. `look` is given a container and writes down what it has found."""

    def __init__(self, look: Callable[[str], Awaitable[None]]) -> None:
        self._look = look
        self._wanted: set[str] = set()
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def after(self, container: str) -> None:
        """Somebody has left it."""
        if self._closed:
            return
        self._wanted.add(container)
        if container not in self._under_way:
            name = f"look at what was changed in {container[:12]}"
            self._under_way[container] = asyncio.create_task(self._until_seen(container), name=name)

    def close(self) -> None:
        """Break off what is under way: the marks stay as they are."""
        self._closed = True
        for task in self._under_way.values():
            task.cancel()

    async def _until_seen(self, container: str) -> None:
        try:
            while container in self._wanted:
                await asyncio.sleep(limits.DRIFT_AFTER)
                self._wanted.discard(container)
                await self._look(container)
        except MinipaasError:
            pass  # it has ended meanwhile, say
        finally:
            self._wanted.discard(container)
            del self._under_way[container]
