"""How often something may be done: so many at once, and one more after each pause (a token bucket)."""

from __future__ import annotations

import time
from collections.abc import Callable


class Allowance:
    """`most` at once, then one every `every` seconds."""

    def __init__(self, most: int, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._every = every
        self._clock = clock
        self._left = float(most)
        self._at = clock()

    def take(self) -> bool:
        """Whether it may be done now; then it counts as done."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) / self._every)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
