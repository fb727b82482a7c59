"""When an instance counts as healthy: thresholds as a pure state machine. Times are monotonic seconds passed in.

    starting ──success──> healthy ──`retries` failures in a row──> unhealthy ──success──> healthy
        └──`retries` failures in a row after the grace is over──> unhealthy

Failures within the grace count for nothing. A restarted container begins anew, with a new `Tracker`.
"""

from __future__ import annotations

from minipaas.engine import limits
from minipaas.model.observed import HealthState
from minipaas.model.spec import Health


class Tracker:
    """The health of one run of one container."""

    def __init__(self, health: Health, begun: float) -> None:
        self.health = health
        self.begun = begun
        self.state = HealthState.STARTING
        self.detail = ""
        self._failures = 0
        self._pause = limits.FIRST_PROBE

    def succeed(self, detail: str) -> bool:
        """Note a good probe; True when the state changed."""
        self._failures = 0
        return self._become(HealthState.HEALTHY, detail)

    def fail(self, detail: str, now: float) -> bool:
        """Note a bad probe that ended at `now`; True when the state changed."""
        self.detail = detail
        if self.state is HealthState.STARTING and now - self.begun < self.health.grace:
            return False
        self._failures += 1
        if self._failures < self.health.retries:
            return False
        return self._become(HealthState.UNHEALTHY, detail)

    def pause(self) -> float:
        """Seconds until the next probe: short and doubling while it starts, so that a rollout does not wait for a long
        interval; then the interval."""
        if self.state is not HealthState.STARTING:
            return float(self.health.interval)
        pause = min(self._pause, float(self.health.interval))
        self._pause *= 2
        return pause

    def _become(self, state: HealthState, detail: str) -> bool:
        changed = self.state is not state
        self.state, self.detail = state, detail
        return changed
