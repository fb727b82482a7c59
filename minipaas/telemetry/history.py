"""How each app was over the last day: a strip of half hours, the present state and since when, restarts.

What always holds: a half hour shows the worst that was seen in it; what nobody saw is unknown, and never well; what is
kept of an app is bounded, however often it changes.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from itertools import pairwise

from msgspec import Struct

from minipaas.model.metrics import Seen
from minipaas.telemetry import limits

RANK = {seen: rank for rank, seen in enumerate(Seen)}
"""The worst highest."""
_WORDS = tuple(Seen)


class AppHistory(Struct, array_like=True):
    """One app, as it is stored."""

    state: str = Seen.UNKNOWN.value
    since: float = 0.0
    strip: dict[int, int] = {}
    """Half hours since 1970 -> rank of the worst."""
    restarts: list[float] = []
    """Unix seconds, ascending."""


class Restarts(Struct, frozen=True):
    """What is to be said of an app's restarts in the last hour."""

    count: int = 0
    gap: float | None = None
    since: float | None = None


class History:
    """All apps. `changed` are those to be stored again."""

    def __init__(self) -> None:
        self.apps: dict[str, AppHistory] = {}
        self.changed: set[str] = set()
        self.version = 0
        """Grows whenever anything here changes."""
        self._strips: dict[str, tuple[int, tuple[Seen, ...]]] = {}

    def load(self, stored: Mapping[str, AppHistory]) -> None:
        """What was known before this process; what was seen since then counts on top."""
        for app, old in stored.items():
            new = self.apps.get(app)
            if new is None:
                self.apps[app] = old
                continue
            if new.state == old.state:
                new.since = min(new.since, old.since)
            for bucket, rank in old.strip.items():
                new.strip[bucket] = max(rank, new.strip.get(bucket, 0))
            new.restarts = sorted({*old.restarts, *new.restarts})[-limits.RESTARTS_KEPT :]
        self._strips.clear()
        self.version += 1

    def see(self, app: str, state: Seen, now: float) -> None:
        """This is how the app is."""
        known = self.apps.setdefault(app, AppHistory())
        bucket, rank = int(now // limits.STRIP_STEP), RANK[state]
        if known.state == state.value and known.strip.get(bucket, 0) >= rank:
            return
        if known.state != state.value:
            known.state, known.since = state.value, now
        if rank > known.strip.get(bucket, 0):
            known.strip[bucket] = rank
            for old in [one for one in known.strip if one <= bucket - limits.STRIP]:
                del known.strip[old]
            while len(known.strip) > 2 * limits.STRIP:  # a clock that jumps about leaves half hours ahead of us
                del known.strip[max(known.strip)]
        self._strips.pop(app, None)
        self.changed.add(app)
        self.version += 1

    def restarted(self, app: str, when: float) -> None:
        """An instance of the app was started again after a failure."""
        known = self.apps.setdefault(app, AppHistory())
        known.restarts = sorted([*known.restarts, when])[-limits.RESTARTS_KEPT :]
        self.changed.add(app)
        self.version += 1

    def keep(self, apps: Iterable[str]) -> None:
        """Forget all other apps."""
        wanted = set(apps)
        for gone in [app for app in self.apps if app not in wanted]:
            del self.apps[gone]
            self._strips.pop(gone, None)
            self.changed.add(gone)
            self.version += 1

    def strip(self, app: str, now: float) -> tuple[Seen, ...]:
        """The last 48 half hours, the oldest first."""
        last = int(now // limits.STRIP_STEP)
        made = self._strips.get(app)
        if made is None or made[0] != last:
            known = self.apps.get(app, AppHistory()).strip
            strip = tuple(_WORDS[known.get(bucket, 0)] for bucket in range(last - limits.STRIP + 1, last + 1))
            made = self._strips[app] = (last, strip)
        return made[1]

    def restarts(self, app: str, now: float) -> Restarts:
        """Those of the last hour; the gap is the median, so that one long pause does not hide a crash loop."""
        recent = [one for one in self.apps.get(app, AppHistory()).restarts if now - limits.HOUR < one <= now + 1]
        if not recent:
            return Restarts()
        gaps = [after - before for before, after in pairwise(recent)]
        gap = round(statistics.median(gaps), 1) if len(gaps) >= 2 else None
        return Restarts(len(recent), gap, recent[0])
