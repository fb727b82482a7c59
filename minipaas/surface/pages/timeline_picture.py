"""The picture of an app's past: where on the axis everything stands, as HTML and SVG need it.

What always holds: positions are shares of the axis in percent, so the picture is as wide as there is room and needs
neither a script nor an inline style; a lane has at most one mark a place; whoever cannot see colours sees shapes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import urlencode

from markupsafe import Markup
from msgspec import Struct

from minipaas.model.metrics import Seen, Series, Window
from minipaas.model.units import human_bytes
from minipaas.surface import spark
from minipaas.surface.i18n import Catalogue
from minipaas.surface.pages.overview import LEAST_CPU, LEAST_MEMORY, LEAST_REQUESTS, TONES, rounded
from minipaas.surface.timeline import PLACES, SECONDS, Axis, Mark, placed, title_of
from minipaas.surface.wire_timeline import Lane

AROUND = 60
"""Seconds of log before and after a mark."""
LEAST_SPAN = 0.006
"""Share of the axis; what took less has no length in the picture."""
TICKS = {Window.HOUR: 6, Window.DAY: 6, Window.WEEK: 7, Window.MONTH: 6}
_CLOCK = (Window.HOUR, Window.DAY)
_SMALLER = {Window.MONTH: Window.WEEK, Window.WEEK: Window.DAY, Window.DAY: Window.HOUR}


class Shape(Struct, frozen=True):
    """One mark: its place and length in percent, how it looks, where it leads and what it says."""

    x: str
    begins: str
    width: str
    tone: str
    count: int
    href: str
    words: str


class Row(Struct, frozen=True):
    """One lane with what stands in it."""

    lane: str
    marks: tuple[Shape, ...]


class Curve(Struct, frozen=True):
    """One figure over the time."""

    name: str
    top: str
    picture: Markup


class Tick(Struct, frozen=True):
    at: float
    text: str


class Picture(Struct, frozen=True):
    """All of it."""

    window: str
    rows: tuple[Row, ...]
    health: Markup
    curves: tuple[Curve, ...]
    ticks: tuple[Tick, ...]
    tick_as: str
    start: float
    end: float
    now: str
    """Where the present is, in percent."""
    ahead: str
    """How much of the axis is behind it."""


def picture(axis: Axis, told: Catalogue, *, sees: bool) -> Picture:
    """In a language, for who may read logs or not."""
    ticks = TICKS[axis.window]
    clock = axis.window in _CLOCK
    step = (axis.end - axis.start) / ticks
    rows = [
        Row(lane.value, tuple(_shape(axis, mark, told, sees=sees) for mark in placed(axis, lane)))
        for lane in Lane
        if sees or lane not in (Lane.BOX, Lane.ACCESS, Lane.LOG)
    ]
    return Picture(
        window=axis.window.value,
        # what is always asked for has a row also when there is nothing in it
        rows=tuple(row for row in rows if row.marks or row.lane in (Lane.CHANGE, Lane.CRASH, Lane.ACCESS)),
        health=_health(axis, told),
        curves=tuple(_curves(axis, told)),
        ticks=tuple(Tick(axis.start + at * step, _tick(axis.start + at * step, clock=clock)) for at in range(ticks)),
        tick_as="clock" if clock else "day",
        start=axis.start,
        end=axis.end,
        now=_percent(axis.share(axis.now)),
        ahead=_percent(1 - axis.share(axis.now)),
    )


def _shape(axis: Axis, mark: Mark, told: Catalogue, *, sees: bool) -> Shape:
    begins, ends = axis.share(mark.at), axis.share(axis.now if mark.until is None else mark.until)
    long = ends - begins >= LEAST_SPAN
    # Several stand in the middle of their place, so that their number can be read beside the next one's.
    middle = (axis.place(mark) + 0.5) / PLACES
    return Shape(
        x=_percent(begins if mark.count == 1 else middle),
        begins=_percent(begins),
        width=_percent(ends - begins) if long else "",
        tone="bad" if mark.well is False else "good" if mark.well else "busy" if mark.until is None else "calm",
        count=mark.count,
        href=link(axis, mark, sees=sees),
        words=_words(mark, told),
    )


def _words(mark: Mark, told: Catalogue) -> str:
    """For a pointer that rests on it, and for who cannot see it."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(mark.at))
    detail = told.retell(mark.detail, "phrase")
    return f"{title_of(mark, told)}{': ' if detail else ''}{detail} ({when})"


def link(axis: Axis, mark: Mark, *, sees: bool) -> str:
    """Where a mark leads: to its change, scene or access; to the log of that very time; for several, closer to them."""
    first, last = int(mark.at), int(axis.now if mark.until is None else mark.until) + 1
    if mark.crash is not None and sees:
        return f"/crashes/{mark.crash}"
    if mark.change is not None:
        return f"/upload/changes/{mark.change}"
    if mark.count > 1 and axis.window in _SMALLER:
        closer = _SMALLER[axis.window]
        until = int((first + last) / 2 + SECONDS[closer] / 2)
        return _address(f"/apps/{axis.app}/timeline", range=closer.value, until=until)
    if not sees:
        return f"/apps/{axis.app}/events"
    if mark.lane is Lane.BOX:
        return _address("/audit", action="self", since=first, until=last + 1)
    if mark.lease is not None:
        return f"/apps/{axis.app}/accesses/{mark.lease}"
    if mark.lane is Lane.ACCESS:
        return _address("/audit", app=axis.app, action="access", since=first, until=last + 1)
    return _address(
        f"/apps/{axis.app}/logs", service=mark.service or "", since=max(first - AROUND, 0), until=last + AROUND
    )


def _address(path: str, **query: str | int) -> str:
    return f"{path}?{urlencode({name: value for name, value in query.items() if value != ''})}"


def _health(axis: Axis, told: Catalogue) -> Markup:
    past = axis.past
    spans = [
        told(f"strip.{word}", span=told.span(past.step * count))
        for word, count in ((word, past.seen.count(Seen(word))) for word in ("down", "failed", "degraded", "changing"))
        if count
    ]
    if spans:
        words = told("timeline.was", what=told("list.and").join(spans))
    else:
        words = told("timeline.well" if any(one is not Seen.UNKNOWN for one in past.seen) else "timeline.unknown")
    return spark.strip((*(TONES[one] for one in past.seen), *("ahead" for _ in range(_ahead(axis)))), str(words))


def _curves(axis: Axis, told: Catalogue) -> list[Curve]:
    past = axis.past
    found = []
    for key, values, least, tone, tell in (
        ("requests", past.requests, LEAST_REQUESTS, "", lambda value: f"{rounded(value)}/s"),
        ("errors", past.errors, LEAST_REQUESTS, "bad", lambda value: f"{rounded(value)}/s"),
        ("cpu", past.cpu, LEAST_CPU, "", lambda value: f"{rounded(value * 100)} %"),
        ("memory", past.memory, LEAST_MEMORY, "", human_bytes),
    ):
        top = max((value for value in values if value is not None), default=None)
        if top is None or (key == "errors" and not top):
            continue
        drawn = spark.line(_padded(values, axis), least=least, tone=tone)
        found.append(Curve(str(told(f"timeline.{key}")), str(told("timeline.top", value=tell(top))), drawn))
    return found


def _padded(values: Series, axis: Axis) -> Sequence[float | None]:
    """With what is still to come, so that its places are those of the axis."""
    return (*values, *(None for _ in range(_ahead(axis))))


def _ahead(axis: Axis) -> int:
    return max(round((axis.end - axis.past.start) / axis.past.step) - len(axis.past.seen), 0)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _tick(at: float, *, clock: bool) -> str:
    """By the clock of the box, until the page tells it by the reader's."""
    return time.strftime("%H:%M" if clock else "%m-%d", time.localtime(at))
