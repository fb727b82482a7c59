"""How much an instance may write: so many bytes a second, and many seconds' worth at once (a token bucket)."""

from __future__ import annotations

from minipaas.telemetry import limits


class Allowance:
    """`rate`: bytes a second; 0: no bound. Times are monotonic seconds."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._most = float(rate * limits.LOG_BURST)
        self._left = self._most
        self._at: float | None = None

    def left(self, now: float) -> int:
        """Bytes that may be taken now."""
        if not self.rate:
            return limits.LOG_BACKLOG * 1024
        if self._at is not None:
            self._left = min(self._most, self._left + (now - self._at) * self.rate)
        self._at = now
        return max(0, int(self._left))

    def take(self, size: int) -> None:
        """So much was taken."""
        if self.rate:
            self._left -= size
