"""The last hour of every app in four small rows of numbers, one a minute: what a page draws beside each name.

What always holds: they are in memory only, 2 KB an app; a minute that nobody saw is None.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from math import isnan, nan

from minipaas.model.metrics import Series
from minipaas.telemetry import limits
from minipaas.telemetry.points import AppPoint, Frame
from minipaas.telemetry.series import cores, mean_memory, rate

ROWS = 4
"""Cores, bytes, requests a second, errors a second."""
Row = tuple[float | None, float | None, float | None, float | None]
NOTHING: Row = (None, None, None, None)


class Sparks:
    """Fed with whole minutes, in order."""

    def __init__(self) -> None:
        self._minute: int | None = None
        """The last whole one, in minutes since 1970."""
        self._rows: dict[str, tuple[array[float], ...]] = {}
        self._shown: dict[str, tuple[Series, ...]] = {}

    def take(self, minute: int, rows: dict[str, Row]) -> None:
        """One whole minute. Minutes in between that nobody saw are None; an older one than the last is not taken, but
        a clock that was set back by more than the hour begins anew."""
        points = limits.SPARK_POINTS
        passed = points if self._minute is None else minute - self._minute
        if -points < passed <= 0:
            return
        self._minute = minute
        passed = min(abs(passed), points)
        for app in rows:
            if app not in self._rows:
                self._rows[app] = tuple(array("d", [nan] * points) for _ in range(ROWS))
        for app in list(self._rows):
            values = rows.get(app, NOTHING)
            for row, value in zip(self._rows[app], values, strict=True):
                row.extend([nan] * (passed - 1) + [nan if value is None else value])
                del row[:-points]
            if app not in rows and all(isnan(value) for row in self._rows[app] for value in row):
                del self._rows[app]
        self._shown.clear()

    def of(self, app: str) -> tuple[Series, ...]:
        """The four rows of an app, the oldest first; the last is the last whole minute."""
        shown = self._shown.get(app)
        if shown is None:
            rows = self._rows.get(app)
            if rows is None:
                shown = ((None,) * limits.SPARK_POINTS,) * ROWS
            else:
                shown = tuple(tuple(None if isnan(value) else value for value in row) for row in rows)
            self._shown[app] = shown
        return shown

    def keep(self, apps: Iterable[str]) -> None:
        """Forget all other apps."""
        wanted = set(apps)
        for gone in [app for app in self._rows if app not in wanted]:
            del self._rows[gone]
        self._shown = {app: shown for app, shown in self._shown.items() if app in wanted}


def rows_of(frame: Frame) -> dict[str, Row]:
    """A minute's points as what is drawn."""
    return {app: row_of(point) for app, point in frame.apps.items()}


def row_of(point: AppPoint) -> Row:
    """One app: its instances and its routes added up."""
    cpu = [value for one in point.instances if (value := cores(one)) is not None]
    memory = [value for one in point.instances if (value := mean_memory(one)) is not None]
    errors = sum(route.answers[4] for route in point.routes if len(route.answers) > 4)
    return (
        round(sum(cpu), 5) if cpu else None,
        sum(memory) if memory else None,
        rate(sum(route.requests for route in point.routes), point.covered),
        rate(errors, point.covered),
    )
