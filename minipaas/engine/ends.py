"""Ends of containers, known at once: the kernel tells when a process ends (pidfd_open(2)), while Podman's own event
comes when its clean-up has begun, a tenth of a second later or more.

What always holds: this only says "look again", once or twice; a number that belongs to somebody else's process, because
Podman lives in another pid namespace, costs a look and no more. Without pidfds (Linux before 5.3) there are Podman's
events.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping

SOON = 0.01
"""Seconds after an end when Podman is asked: conmon writes down how a process ended right after it has."""
AGAIN = 0.1
"""When Podman did not know it then."""


class Ends:
    """Watches the first processes of containers. For the event loop."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._watched: dict[tuple[str, int], int] = {}
        """By container and process, the descriptor."""
        self._ended: set[tuple[str, int]] = set()
        """Of which Podman should know by the next look."""

    def watch(self, pids: Mapping[str, int]) -> None:
        """These run, by container; all others are let go."""
        wanted = {(container, pid) for container, pid in pids.items() if pid > 0}
        for key in self._watched.keys() - wanted:
            self._let_go(key)
        for key in wanted - self._watched.keys():
            with contextlib.suppress(OSError, AttributeError):
                descriptor = os.pidfd_open(key[1])
                self._watched[key] = descriptor
                asyncio.get_running_loop().add_reader(descriptor, self._has_ended, key)
        if self._ended & wanted:
            asyncio.get_running_loop().call_later(AGAIN, self._on_end)
        self._ended.clear()

    def close(self) -> None:
        """Watch nobody any more."""
        self.watch({})

    def _has_ended(self, key: tuple[str, int]) -> None:
        asyncio.get_running_loop().remove_reader(self._watched[key])  # it stays readable
        self._ended.add(key)
        asyncio.get_running_loop().call_later(SOON, self._on_end)

    def _let_go(self, key: tuple[str, int]) -> None:
        descriptor = self._watched.pop(key)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
