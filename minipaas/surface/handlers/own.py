"""Minipaas itself: how it is, a new version, the one before, the same anew."""

from __future__ import annotations

import time

from minipaas.author.version import own_version
from minipaas.model.errors import Missing
from minipaas.surface.call import Call
from minipaas.surface.handlers.bundles import body_of
from minipaas.surface.wire_self import BackRequest, HandoverView, SelfStep, SelfView
from minipaas.takeover.own import Own
from minipaas.takeover.record import Kind, Record, State


async def view(call: Call) -> SelfView:
    """Also while one process hands over to another."""
    here, record, busy = _own(call).view()
    before = here.layout.previous() if here is not None else None
    return SelfView(
        version=own_version(),
        installed=here.version.name if here is not None else None,
        previous=before.version if before is not None else None,
        busy=busy,
        last=handover_view(call, record) if record is not None else None,
        returned=record.unseen if record is not None else None,
    )


async def seen(call: Call) -> SelfView:
    """The last return needs nobody any more."""
    own, caller = _own(call), call.caller
    async with own.asked("seen", caller.actor, caller.origin):
        told = own.seen()
    await call.registry.audit(
        actor=call.caller.actor,
        action="self.seen",
        subject=f"minipaas {told.to_version}".rstrip(),
        origin=call.caller.origin,
        result=f"{told.serves} serves: {told.reason}",
        now=time.time(),
    )
    return await view(call)


def handover_view(call: Call, record: Record) -> HandoverView:
    """A record for who may see it."""
    on_trial = record.state is State.TRIAL and record.ready is not None
    return HandoverView(
        id=record.id,
        kind=record.kind,
        state=record.state,
        actor=record.actor,
        from_version=record.from_version,
        to_version=record.to_version,
        began=record.began,
        ended=record.ended,
        trial_until=(record.ready or 0.0) + record.trial if on_trial else None,
        steps=tuple(
            SelfStep(title=step.title, started=step.started, ended=step.ended, ok=step.ok, detail=step.detail)
            for step in record.steps
        ),
        reason=record.reason,
        last_lines=tuple(record.last_lines) if call.caller.sees_logs else (),
    )


async def upgrade(call: Call) -> HandoverView:
    """Its body is asked for only when the box is ready to read it."""
    stream, length = body_of(call)
    own = _own(call)
    record = await own.upgrade(stream, length, actor=call.caller.actor, origin=call.caller.origin)
    return handover_view(call, record)


async def go_back(call: Call) -> HandoverView:
    """To the version before."""
    wanted: BackRequest = call.body
    record = await _own(call).go_back(actor=call.caller.actor, origin=call.caller.origin, lose=wanted.lose)
    return handover_view(call, record)


async def reload(call: Call) -> HandoverView:
    """The same program anew."""
    own, caller = _own(call), call.caller
    async with own.asked(Kind.RELOAD, caller.actor, caller.origin):
        record = own.reload(actor=caller.actor, origin=caller.origin)
    return handover_view(call, record)


def _own(call: Call) -> Own:
    own = call.context.own
    if own is None:
        raise Missing(f"cannot find {call.request.path}: this box is a part of another program", code="api.path")
    return own
