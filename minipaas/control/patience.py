"""Time that the plan can believe: how long changes have taken is measured, not read from a clock that may be set.

A box without a battery boots in 1970 and is in the present a minute later. What always holds: the times that `plan`
compares lie on one scale, that of `now`; a jump of the clock neither ends a change nor keeps one for ever; a change
that is found at the start has some time left, for the box may have been off for a night.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from minipaas.model.change import AppDesired, Change, ChangeState, Desired
from minipaas.model.observed import Instance, InstanceState
from minipaas.plan.lifecycle import REVERT_PATIENCE

FRESH = 60.0
"""Seconds that a change has at least when it is seen for the first time, if it ever had so many."""


class _Seen(Struct):
    """A change as it was first seen with this deadline. `ends` and `switched` in monotonic seconds."""

    deadline: float
    ends: float
    switched: float | None = None


class Patience:
    """Remembers when it first saw what. Times are Unix seconds for `now`, monotonic ones for `tick`."""

    def __init__(self) -> None:
        self._changes: dict[int, _Seen] = {}
        self._deaths: dict[tuple[str, float], float] = {}

    def of(self, desired: Desired, now: float, tick: float) -> Desired:
        """The same, with the times of its changes on the scale of `now`."""
        active = {app.change.id for app in desired.apps if app.change is not None}
        self._changes = {key: seen for key, seen in self._changes.items() if key in active}
        if not active:
            return desired
        return Desired(apps=tuple(self._app(app, now, tick) for app in desired.apps))

    def _app(self, app: AppDesired, now: float, tick: float) -> AppDesired:
        return app if app.change is None else replace(app, change=self._change(app.change, now, tick))

    def _change(self, change: Change, now: float, tick: float) -> Change:
        seen = self._changes.get(change.id)
        if seen is None or seen.deadline != change.deadline:
            reverting = change.state is ChangeState.REVERTING
            whole = REVERT_PATIENCE if reverting else max(0.0, change.deadline - change.started)
            left = min(whole, max(FRESH, change.deadline - now))
            seen = self._changes[change.id] = _Seen(change.deadline, tick + left)
        if change.switched is None:
            return replace(change, deadline=now + seen.ends - tick)
        if seen.switched is None:
            seen.switched = tick
        return replace(change, deadline=now + seen.ends - tick, switched=now + seen.switched - tick)

    def deaths(self, instances: Iterable[Instance], now: float, tick: float) -> tuple[Instance, ...]:
        """The same, but none has died in the future: who has, died when that was first seen."""
        told: list[Instance] = []
        seen: dict[tuple[str, float], float] = {}
        for one in instances:
            if one.state is InstanceState.EXITED and one.finished is not None and one.finished > now:
                key = (one.id, one.finished)
                seen[key] = self._deaths.get(key, tick)
                one = replace(one, finished=now + seen[key] - tick)  # noqa: PLW2901
            told.append(one)
        self._deaths = seen
        return tuple(told)
