"""What happened to an app, in one order of time."""

from __future__ import annotations

from minipaas.model.change import Change, ChangeState
from minipaas.registry.audit import AuditRow
from minipaas.registry.deaths import Death
from minipaas.registry.history import Happening, Place, Sort
from minipaas.registry.journal import JournalRow
from minipaas.surface import survey, views
from minipaas.surface.call import Call
from minipaas.surface.i18n import EN, message
from minipaas.surface.wire_history import EventKind, Events, EventView

_ASKED = {"hold": "event.held", "drop": "event.dropped"}
"""What is told in words of its own."""
_WELL = {ChangeState.DONE: True, ChangeState.FAILED: False, ChangeState.ROLLED_BACK: False}


async def listing(call: Call) -> Events:
    """The newest first; also of an app that was removed, as long as something of it is remembered."""
    before = call.query["before"]
    return await events_of(call, call.app, call.query["limit"], Place.parse(before) if before else None)


async def events_of(call: Call, app: str, limit: int, before: Place | None = None) -> Events:
    """At most `limit`. Raises Missing when nothing is known of such an app."""
    found = await call.registry.happenings(app, limit + 1, before, audited=call.caller.sees_logs)
    if not found and before is None:
        raise survey.missing_app(app)
    return Events(events=tuple([await _view(call, happening) for happening in found[:limit]]), more=len(found) > limit)


async def _view(call: Call, happening: Happening) -> EventView:
    match happening.what:
        case Change() as change:
            return await _of_change(call, change, happening.place)
        case JournalRow() as step:
            return _event(
                happening.place,
                EventKind.UPKEEP,
                step.title,
                at=step.started,
                step=step.kind,
                well=step.ok,
                detail=views.said(call, step.detail),
            )
        case Death() as death:
            return _event(
                happening.place,
                EventKind.DEATH,
                EN.say(message("event.died", instance=death.name)),
                at=death.at,
                well=False,
                detail=death.detail,
                service=death.service,
                instance=death.name,
            )
        case AuditRow() as row:
            refused = row.result.startswith(("refused:", "failed:"))
            return _event(
                happening.place,
                EventKind.AUDIT,
                EN.say(message(_ASKED.get(row.action, "event.asked"), action=row.action, subject=row.subject)),
                at=row.at,
                well=False if refused else None,
                detail="" if row.action == "hold" else row.result,
                actor=row.actor,
            )


async def _of_change(call: Call, change: Change, place: Place) -> EventView:
    version = await call.context.version(change.target) or "?"
    if place.sort == Sort.BEGAN:
        title = message(f"event.{change.kind}_began", version=version)
        return _event(place, EventKind.BEGAN, EN.say(title), at=change.started, change=change.id, actor=change.actor)
    title = message(f"event.{change.kind}_ended", version=version, what=message(f"phrase.ended_{change.state}"))
    return _event(
        place,
        EventKind.ENDED,
        EN.say(title),
        at=change.ended or change.started,
        well=_WELL.get(change.state),
        detail=views.said(call, change.reason),
        change=change.id,
    )


def _event(
    place: Place,
    kind: EventKind,
    title: str,
    *,
    at: float,
    step: str = "",
    well: bool | None = None,
    detail: str = "",
    change: int | None = None,
    actor: str | None = None,
    service: str | None = None,
    instance: str | None = None,
) -> EventView:
    return EventView(
        id=str(place),
        at=at,
        kind=kind,
        title=title,
        step=step,
        well=well,
        detail=detail,
        change=change,
        actor=actor,
        service=service,
        instance=instance,
    )
