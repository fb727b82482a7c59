"""What a wrong token or link costs whoever brings it: time, and more with each that comes within a minute.

What always holds: a right one is taken at once, whatever others have tried, so nobody can lock anybody out; at most
`limits.wrong_waiting` wait for the answer to a wrong one, the rest is sent away. A token cannot be guessed (256 random
bits); what is kept down here is noise, and the work that it makes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from minipaas.model.errors import Refused
from minipaas.surface.limits import Limits


class WrongTries:
    """One for the whole surface: behind one address may be everybody."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._minute = 0
        self._count = 0
        self._waiting = 0

    async def one_more(self) -> None:
        """Somebody was wrong: return when they may be told. Raises Refused(page.slow_down) when too many wait."""
        if self._waiting >= self._limits.wrong_waiting:
            raise Refused(
                "cannot sign in: what was given is wrong, and so was much else in the last minute",
                hint="look at the token again; a right one is taken at once",
                code="page.slow_down",
            )
        self._waiting += 1
        try:
            await asyncio.sleep(self._cost())
        finally:
            self._waiting -= 1

    def _cost(self) -> float:
        """Seconds for the next one."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self._count = minute, 0
        self._count += 1
        beyond = self._count - self._limits.wrong_free
        if beyond <= 0:
            return 0.0
        return min(self._limits.wrong_first * 2.0 ** min(beyond - 1, 30), self._limits.wrong_longest)
