"""Leases: who is and was in instances, and what they saw."""

from __future__ import annotations

from aiohttp import web

from minipaas.model.lease import Lease
from minipaas.surface.call import Call
from minipaas.surface.services import entered
from minipaas.surface.wire_access import Drift, DriftFile, Leases, LeaseView


async def listing(call: Call) -> Leases:
    """The open ones first."""
    app: str | None = call.query["app"]
    found = await leases_of(call, app, call.query["limit"], call.query["before"])
    return Leases(leases=tuple(lease_view(lease) for lease in found))


async def leases_of(call: Call, app: str | None, limit: int, before: str | None) -> list[Lease]:
    """The open ones, then those that are over, the newest first; `before`: only what is over, from there on."""
    access = call.control.access
    now = [lease for lease in access.leases.open_now if app in (None, lease.app)] if before is None else []
    open_ids = {lease.id for lease in now}
    past = [lease for lease in await access.kept.newest(limit, app, before) if lease.id not in open_ids]
    return [*now, *past][:limit]


async def drift(call: Call) -> Drift:
    """By Podman's account of what was written."""
    access = call.control.access
    instance = access.instance(call.app, call.query["service"], call.query["slot"] or None)
    changes = await access.drift(instance)
    touch = access.touched.of(instance.id)
    most = call.context.limits.drift
    return Drift(
        instance=instance.name,
        touched=touch.by if touch is not None else "",
        entered=entered(touch),
        files=tuple(DriftFile(path=one.path, what=one.what.value, podmans=one.podmans) for one in changes[:most]),
        more=len(changes) > most,
    )


async def end(call: Call) -> web.Response:
    """Of anybody's."""
    call.control.access.leases.revoke(call.request.match_info["lease"], call.caller.actor)
    return web.Response(status=204)


async def recording(call: Call) -> web.Response:
    """Also of a session that is not over."""
    lease = call.request.match_info["lease"]
    body = await call.control.access.kept.recording(lease)
    response = web.Response(body=body, content_type="application/x-asciicast")
    response.headers["Content-Disposition"] = f'attachment; filename="{lease}.cast"'
    response.headers["Cache-Control"] = "no-store"
    return response


def lease_view(lease: Lease) -> LeaseView:
    """A lease as it is told."""
    return LeaseView(
        id=lease.id,
        kind=lease.kind,
        app=lease.app,
        service=lease.service,
        instance=lease.instance,
        actor=lease.actor,
        origin=lease.origin,
        reason=lease.reason,
        what=lease.what,
        started=lease.started,
        until=lease.until,
        ended=lease.ended,
        ending=lease.ending,
        result=lease.result,
        recording=lease.recording,
    )
