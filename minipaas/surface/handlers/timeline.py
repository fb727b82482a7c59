"""An app's past on one axis of time."""

from __future__ import annotations

from minipaas.model.metrics import Window
from minipaas.surface import timeline
from minipaas.surface.call import Call, Query
from minipaas.surface.i18n import EN
from minipaas.surface.timeline import Axis, Mark
from minipaas.surface.wire_timeline import MarkView, Timeline

TIME = 10**11
"""Seconds that a time can have at most: the year 5138."""
WINDOW = Query(
    name="range",
    summary="How much of the past: 1h, 24h, 7d or 30d.",
    pattern="|".join(Window),
    default=Window.DAY.value,
)
UNTIL = Query(name="until", summary="Where it ends, Unix seconds; now when left out.", kind=int, maximum=TIME)


async def one(call: Call) -> Timeline:
    """Also of an app that was removed, as long as something of it is remembered."""
    return timeline_view(await asked(call))


async def asked(call: Call) -> Axis:
    """What the query asks for. Raises Missing when nothing is known of such an app."""
    return await timeline.axis(call, call.app, Window(call.query["range"]), call.query["until"])


def timeline_view(axis: Axis) -> Timeline:
    """In English."""
    return Timeline(
        app=axis.app,
        start=axis.start,
        end=axis.end,
        now=axis.now,
        marks=tuple(map(_view, axis.marks)),
        past=axis.past,
    )


def _view(mark: Mark) -> MarkView:
    return MarkView(
        lane=mark.lane,
        at=mark.at,
        until=mark.until,
        count=mark.count,
        title=timeline.title_of(mark, EN),
        well=mark.well,
        detail=mark.detail,
        change=mark.change,
        crash=mark.crash,
        lease=mark.lease,
        recorded=mark.recorded,
        service=mark.service,
        instance=mark.instance,
        actor=mark.actor,
    )
