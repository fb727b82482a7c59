"""Rests: who failed, or does the same again and again, waits for a growing time. Monotonic seconds are passed in.

What always holds: a pause is at most MAX_REST; a step that "succeeds" and changes nothing is soon done once a minute
and not a thousand times a second; what has gone well with a different plan in between starts afresh after FORGET.
"""

from __future__ import annotations

from collections.abc import Hashable

from msgspec import Struct

FIRST_REST = 0.5
MAX_REST = 60.0
FREE_REPEATS = 20
"""The same plan may be carried out so often at full speed."""
FORGET = 180.0
"""Seconds without a repetition after which a plan counts as new."""


class _Repeat(Struct):
    times: int
    last: float


class Rest:
    """One lane's memory of how it went."""

    def __init__(self, most: float = MAX_REST) -> None:
        self.strikes = 0
        """Failures in a row that count against the change."""
        self._until = 0.0
        self._most = most
        self._change: int | None = None
        self._failures = 0
        self._repeats: dict[Hashable, _Repeat] = {}

    def left(self, change: int | None, now: float) -> float:
        """Seconds that are left of it. A new change need not wait for an old one's failures."""
        return max(0.0, self._until - now) if change == self._change else 0.0

    def end(self) -> None:
        """Go on at once."""
        self._until = 0.0

    def failed(self, change: int | None, now: float, *, strike: bool, most: float = MAX_REST) -> int:
        """A round has failed: rest. Returns the strikes of this change so far."""
        if change != self._change:
            self._change, self._failures, self.strikes = change, 0, 0
        self._failures += 1
        self.strikes += strike
        self._until = now + min(most, self._most, FIRST_REST * 2.0 ** min(self._failures, 10))
        return self.strikes

    def succeeded(self, change: int | None, plan: Hashable, now: float) -> None:
        """A round has gone well; rest if it is one that came very often of late."""
        self._change, self._failures, self.strikes, self._until = change, 0, 0, 0.0
        self._repeats = {key: one for key, one in self._repeats.items() if now - one.last < FORGET}
        # What is done for another change is not the same again: each change was asked for.
        repeat = self._repeats.setdefault((change, plan), _Repeat(0, now))
        repeat.times, repeat.last = repeat.times + 1, now
        if repeat.times > FREE_REPEATS:
            self._until = now + min(self._most, FIRST_REST * 2.0 ** min(repeat.times - FREE_REPEATS, 10))
