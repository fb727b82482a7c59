"""An app's past on one axis: what the registry, the leases, the logs and the metrics know of a stretch of time, brought
together.

What always holds: a lane has at most `limits.marks` marks, however much happened: what is close together and alike
becomes one with a count, then what is close together; nothing is dropped silently. What may quote a log, and who was
inside, is only for who may read logs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable, Sequence

from msgspec import Struct

from minipaas.model.capsule import CapsuleGroup, capsule_id
from minipaas.model.change import Change, ChangeState
from minipaas.model.errors import Deadline
from minipaas.model.lease import Ending, Lease
from minipaas.model.logs import Level, Stream, Wanted
from minipaas.model.metrics import AppPast, Window
from minipaas.registry.audit import AuditRow
from minipaas.registry.deaths import Death
from minipaas.registry.journal import JournalRow
from minipaas.surface import survey, views
from minipaas.surface.call import Call
from minipaas.surface.i18n import Catalogue, Message, message
from minipaas.surface.wire_timeline import Lane

SECONDS = {Window.HOUR: 3600, Window.DAY: 86_400, Window.WEEK: 7 * 86_400, Window.MONTH: 30 * 86_400}
ROUND = {Window.HOUR: 300, Window.DAY: 3600, Window.WEEK: 6 * 3600, Window.MONTH: 86_400}
"""The axis ends at a multiple of so many seconds."""
PLACES = 32
"""Stretches of the axis in which marks that are many become one."""
NANOSECONDS = 1_000_000_000
_WELL = {ChangeState.DONE: True, ChangeState.FAILED: False, ChangeState.ROLLED_BACK: False}


class Mark(Struct, frozen=True, kw_only=True):
    """`MarkView` before it has a language. `step`: of a title that is a step's, its kind."""

    lane: Lane
    at: float
    until: float | None
    title: Message | str
    count: int = 1
    well: bool | None = None
    detail: str = ""
    step: str = ""
    change: int | None = None
    crash: str | None = None
    group: str | None = None
    """Of equal failures, whatever became of its own scene."""
    lease: str | None = None
    recorded: bool = False
    service: str | None = None
    instance: str | None = None
    actor: str | None = None


class Axis(Struct, frozen=True, kw_only=True):
    """What an app's past was found to be."""

    app: str
    window: Window
    start: float
    end: float
    now: float
    figured: float
    """When the figures were read."""
    marks: tuple[Mark, ...]
    past: AppPast

    def share(self, at: float) -> float:
        """Where a time lies, 0 to 1."""
        return min(max((at - self.start) / (self.end - self.start), 0.0), 1.0)

    def place(self, mark: Mark) -> int:
        """In which of the `PLACES` it stands."""
        return min(int(self.share(mark.at) * PLACES), PLACES - 1)


async def axis(call: Call, app: str, window: Window, until: float | None = None) -> Axis:
    """The stretch that ends at `until`, or now. Of what ends now, nothing is made anew while nothing has happened, and
    figures only when new ones would show. Raises Missing when nothing is known of such an app."""
    now, span, sees = time.time(), SECONDS[window], call.caller.sees_logs
    # Of an hour that is past there may be only figures of quarters: it begins and ends with them.
    whole = ROUND[window] if until is None else max(ROUND[window], 900)
    end = -(-min(now if until is None else until, now) // whole) * whole
    groups = await asyncio.to_thread(call.control.shelf.groups, app) if sees else []
    key = (app, window, sees)
    scenes = tuple((one.id, one.count) for one in groups)
    version = (call.registry.version, call.control.access.leases.version, scenes)
    known = call.context.axes.get(key) if until is None else None
    fresh = 0 <= now - known[1].figured < min(span / 360, call.context.limits.axis_age) if known is not None else False
    if known is not None and fresh and known[1].end == end and known[0] == version:
        return known[1]
    marks = await _marks(call, app, end - span, end, groups)
    if known is not None and fresh and known[1].end == end:
        figured, past = known[1].figured, known[1].past
    else:
        figured, past = now, await call.control.telemetry.app_past(app, window, end)
    made = Axis(
        app=app, window=window, start=end - span, end=end, now=now, figured=figured, marks=tuple(marks), past=past
    )
    if until is None:
        call.context.axes.put(key, (version, made))
    return made


async def _marks(call: Call, app: str, start: float, end: float, groups: Sequence[CapsuleGroup]) -> list[Mark]:
    """All lanes, in order of time."""
    found = await call.registry.past(app, start, end)
    if not found.changes and not await call.registry.changes(app, 1):
        raise survey.missing_app(app)
    sees = call.caller.sees_logs
    lanes = [
        [await _of_change(call, one) for one in found.changes],
        [_of_own(one) for one in found.own] if sees else [],
        [_of_lease(call, one) for one in await _leases(call, app, start, end)] if sees else [],
        [_of_death(call, one, groups) for one in found.deaths],
        [_of_start(call, one) for one in found.starts],
        await _gaps(call, app, start, end) if sees else [],
    ]
    place, most = (end - start) / PLACES, call.context.limits.marks
    return sorted((mark for lane in lanes for mark in bounded(lane, place, most)), key=lambda one: one.at)


# -- few enough


def bounded(marks: Sequence[Mark], place: float, most: int) -> list[Mark]:
    """At most `most` of them, if `most` places of `place` seconds hold the time of all: as they are if they are few;
    else what is alike and in one place is one mark; else what is in one place."""
    ordered = sorted(marks, key=lambda one: one.at)
    if len(ordered) <= most:
        return ordered
    alike = joined(ordered, lambda one: (int(one.at // place), one.title, one.detail, one.group, one.well))
    return alike if len(alike) <= most else joined(ordered, lambda one: int(one.at // place))


def joined(marks: Iterable[Mark], same: Callable[[Mark], Hashable]) -> list[Mark]:
    """Those that are the same are one, in order of time."""
    groups: dict[Hashable, list[Mark]] = {}
    for one in marks:
        groups.setdefault(same(one), []).append(one)
    return sorted(map(_one_of, groups.values()), key=lambda one: one.at)


def _one_of(marks: Sequence[Mark]) -> Mark:
    """Several marks of one lane as one: what differs among them is left out; one that went wrong counts."""
    if len(marks) == 1:
        return marks[0]
    last, count = marks[-1], sum(one.count for one in marks)
    alike = all((one.title, one.detail) == (last.title, last.detail) for one in marks)
    wells = {one.well for one in marks}
    return Mark(
        lane=last.lane,
        at=min(one.at for one in marks),
        until=None if any(one.until is None for one in marks) else max(one.until or one.at for one in marks),
        title=last.title if alike else message(f"mark.{last.lane}", n=count),
        count=count,
        well=False if False in wells else True if wells == {True} else None,
        detail=last.detail if alike else "",
        step=last.step if alike else "",
        change=last.change if alike else None,
        crash=_common(one.crash for one in marks) or _common(one.group for one in marks),
        group=_common(one.group for one in marks),
        service=_common(one.service for one in marks),
        actor=_common(one.actor for one in marks),
    )


def _common(values: Iterable[str | None]) -> str | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None


def placed(axis: Axis, lane: Lane) -> list[Mark]:
    """The marks of one lane for a picture: at most one a place."""
    return joined((one for one in axis.marks if one.lane is lane), axis.place)


def title_of(mark: Mark, told: Catalogue) -> str:
    """What a mark says, in words."""
    said = told.retell(mark.title, f"step.{mark.step}") if isinstance(mark.title, str) else told.say(mark.title)
    mixed = isinstance(mark.title, Message) and mark.title.key == f"mark.{mark.lane}"
    return said if mark.count == 1 or mixed else f"{mark.count} × {said}"


# -- one of each sort


async def _of_change(call: Call, change: Change) -> Mark:
    version = await call.context.version(change.target) or "?"
    if change.ended is None:
        title = message(f"event.{change.kind}_began", version=version)
    else:
        what = message(f"phrase.ended_{change.state}")
        title = message(f"event.{change.kind}_ended", version=version, what=what)
    return Mark(
        lane=Lane.CHANGE,
        at=change.started,
        until=change.ended,
        title=title,
        well=_WELL.get(change.state),
        detail=change.reason.partition("\n")[0],
        change=change.id,
        actor=change.actor,
    )


def _of_own(row: AuditRow) -> Mark:
    bad = row.result.startswith(("refused:", "failed:", "went back", "the registry went back"))
    return Mark(
        lane=Lane.BOX,
        at=row.at,
        until=row.at,
        title=message("event.asked", action=row.action, subject=row.subject),
        well=False if bad else None,
        detail=row.result,
        actor=row.actor,
    )


def _of_lease(call: Call, lease: Lease) -> Mark:
    touch = call.control.access.touched.of(lease.container)
    touched = touch is not None and touch.written
    instance = lease.instance.removeprefix("minipaas-")
    return Mark(
        lane=Lane.ACCESS,
        at=lease.started,
        until=lease.ended,
        title=message(
            f"mark.in_{lease.kind}{'_touched' if touched else ''}", who=lease.actor, what=lease.what, instance=instance
        ),
        well=False if lease.ending is Ending.FAILED else None,
        detail=lease.reason or lease.result,
        lease=lease.id,
        recorded=lease.recording,
        service=lease.service,
        instance=instance,
        actor=lease.actor,
    )


def _of_death(call: Call, death: Death, groups: Sequence[CapsuleGroup]) -> Mark:
    crash, group = _scene(death, groups)
    return Mark(
        lane=Lane.CRASH,
        at=death.at,
        until=death.at,
        title=message("mark.died", service=death.service),
        well=False,
        detail=views.said(call, death.detail).partition("\n")[0],
        crash=crash,
        group=group,
        service=death.service,
        instance=death.name.removeprefix("minipaas-"),
    )


def _scene(death: Death, groups: Sequence[CapsuleGroup]) -> tuple[str | None, str | None]:
    """What was kept of it, or of its like; and the group of its like."""
    identity = capsule_id(death.container, death.at)
    for group in groups:
        if identity in group.kept:
            return identity, group.id
        if identity in group.recent:
            return group.id, group.id
    # Of a long loop only the last ends are known by name.
    like = [one.id for one in groups if one.service == death.service and one.first - 1 <= death.at <= one.latest + 1]
    return (like[0], like[0]) if len(like) == 1 else (None, None)


def _of_start(call: Call, step: JournalRow) -> Mark:
    return Mark(
        lane=Lane.RESTART,
        at=step.started,
        until=step.ended,
        title=step.title,
        well=step.ok,
        detail=views.said(call, step.detail).partition("\n")[0],
        step=step.kind,
        service=step.title.removeprefix("start ").partition(" #")[0],
    )


async def _leases(call: Call, app: str, start: float, end: float) -> list[Lease]:
    """Those that were open at some time of it."""
    access = call.control.access
    over = await access.kept.since(start - call.control.config.access.longest, app)
    known = {lease.id: lease for lease in (*over, *access.leases.open_now) if lease.app == app}
    return [one for one in known.values() if one.started < end and (one.ended is None or one.ended >= start)]


async def _gaps(call: Call, app: str, start: float, end: float) -> list[Mark]:
    """Where the log says itself that lines are missing. A search that takes too long finds none."""
    wanted = Wanted(
        stream=Stream.MINIPAAS,
        level=Level.FATAL,  # which has the index find those remarks
        since=int(start * NANOSECONDS),
        until=int(end * NANOSECONDS),
    )
    try:
        found = await call.control.logs.newest(app, wanted, call.context.limits.log_gaps)
    except Deadline:
        return []
    return [
        Mark(
            lane=Lane.LOG,
            at=line.time / NANOSECONDS,
            until=line.time / NANOSECONDS,
            title=line.text.decode(errors="backslashreplace"),
            well=False,
            service=line.source.service,
            instance=line.source.instance,
        )
        for line in found.lines
        if line.stream is Stream.MINIPAAS
    ]
